import davy.DavyException;
import davy.NativeLibrary;
import davy.Sandboxes;
import davy.Sandboxes$;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.LongAdder;

/**
 * One JVM in which Java's own uses of SIGSEGV (implicit null checks in compiled code, stack guards,
 * safepoints) and those of sandboxes (traps, stops by mprotect, stack overflows) come at the same time.
 *
 * Arguments: image, cache folder, folder of the worker `storm`, seconds. Prints a count of each kind;
 * any wrong answer ends the process with 1, a signal that went to the wrong handler kills it.
 */
public final class Storm {
  private static final class Box {
    int value = 7;
  }

  private static final Box[] boxes = {new Box(), null, new Box(), new Box()};
  private static final Map<String, LongAdder> counts = new ConcurrentHashMap<>();
  private static volatile Throwable failed;
  private static long until;

  public static void main(String[] args) throws Exception {
    Sandboxes sandboxes = NativeLibrary.sandboxes();
    long image = sandboxes.openImage(args[0], args[1], 4L << 30);
    until = System.nanoTime() + Long.parseLong(args[3]) * 1_000_000_000L;
    Thread[] threads = {
      again("null checks", Storm::nullChecks),
      again("stack overflows in Java", Storm::overflows),
      again("garbage", Storm::garbage),
      // An unreachable, loads out of bounds, the guest's stack, an exit; a guest that answers; stops.
      guests(sandboxes, image, args[2], 'u', "aborted"),
      guests(sandboxes, image, args[2], 'o', "out of bounds"),
      guests(sandboxes, image, args[2], 's', "stack: "),
      guests(sandboxes, image, args[2], 'a', null),
      guests(sandboxes, image, args[2], 'l', "stopped: storm"),
    };
    for (Thread thread : threads) thread.start();
    for (Thread thread : threads) thread.join();
    if (failed != null) {
      failed.printStackTrace();
      System.exit(1);
    }
    System.out.println("STORM " + new TreeMap<>(counts));
    System.exit(0);
  }

  private static Thread again(String what, Callable<Boolean> round) {
    return new Thread(
        () -> {
          try {
            while (System.nanoTime() < until && failed == null) {
              if (!round.call()) throw new AssertionError("a wrong answer of " + what);
              counts.computeIfAbsent(what, w -> new LongAdder()).increment();
            }
          } catch (Throwable e) {
            failed = e;
          }
        },
        what);
  }

  /** Hot enough to be compiled: then the check for null is a fault that the JVM handles. */
  private static boolean nullChecks() {
    int sum = 0, nulls = 0;
    for (int i = 0; i < 4000; i++) {
      try {
        sum += boxes[i & 3].value;
      } catch (NullPointerException e) {
        nulls++;
      }
    }
    return sum == 21000 && nulls == 1000;
  }

  private static int depth(int n) {
    return 1 + depth(n + 1);
  }

  private static boolean overflows() {
    try {
      return depth(0) < 0;
    } catch (StackOverflowError e) {
      return true;
    }
  }

  private static boolean garbage() {
    byte[][] held = new byte[64][];
    for (int i = 0; i < 2000; i++) held[i & 63] = new byte[ThreadLocalRandom.current().nextInt(40_000)];
    return held[63] != null;
  }

  /** Sandboxes one after the other, each of which ends as `end` says; with null it answers. */
  private static Thread guests(Sandboxes sandboxes, long image, String code, char way, String end) {
    String spec =
        """
        {"session": {"worker": "storm", "env": {}, "localtime": null, "memory_setting": "m",
          "sys_path": ["%1$s"], "cwd": null, "reuse": false, "buffer_size": 65536},
         "limits": {"memory_bytes": 1073741824, "output_bytes": 0, "log_bytes": 1, "open_files": 0},
         "grants": {"dirs": [{"host": "%1$s", "guest": "%1$s", "write": false, "quota_bytes": 0}],
          "admit": [], "callbacks": null, "clock": "real", "random": "real"},
         "channel_bytes": 65536, "job_snapshots": false, "name": "storm"}
        """
            .formatted(code);
    return again(
        "sandboxes: " + way,
        () -> {
          long sandbox = sandboxes.startSandbox(image, spec);
          try {
            byte[] text = {(byte) way, (byte) ThreadLocalRandom.current().nextInt(100)};
            sandboxes.writeArray(sandbox, text, 0, 2);
            String said = "";
            byte[] bytes = new byte[64];
            while (true) {
              sandboxes.await(sandbox, Sandboxes$.MODULE$.Readable(), 1000);
              int n = sandboxes.readArray(sandbox, bytes, 0, bytes.length);
              if (n < 0) return end == null && said.equals("ready" + (text[1] * 3 + 1));
              said += new String(bytes, 0, n, StandardCharsets.UTF_8);
              if (way == 'l' && said.equals("ready")) {
                Thread.sleep(ThreadLocalRandom.current().nextInt(8));
                sandboxes.stop(sandbox, "storm");
              }
            }
          } catch (DavyException e) {
            if (end != null && e.getMessage().contains(end)) return true;
            throw e;
          } finally {
            sandboxes.release(sandbox);
          }
        });
  }
}
