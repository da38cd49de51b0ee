;; memory.copy and memory.fill as WebAssembly. wasmtime runs the instructions as host code, which
;; must not meet a memory that a stop has closed (see interrupt.rs); these trap like guest code.
(module
  (memory 1)

  (func $copy (param $to i32) (param $from i32) (param $n i32)
    (local $end i32) (local $edge v128)
    (if (i32.le_u (local.get $n) (i32.const 16))
      (then
        (if (i32.ge_u (local.get $n) (i32.const 8))
          (then
            ;; Both loads come before both stores: the ranges may overlap.
            (local.get $to)
            (i64.load align=1 (local.get $from))
            (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 8))
            (i64.load align=1 (i32.sub (i32.add (local.get $from) (local.get $n)) (i32.const 8)))
            (i64.store align=1)
            (i64.store align=1)
            (return)))
        (if (i32.ge_u (local.get $n) (i32.const 4))
          (then
            ;; Both loads come before both stores: the ranges may overlap.
            (local.get $to)
            (i32.load align=1 (local.get $from))
            (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 4))
            (i32.load align=1 (i32.sub (i32.add (local.get $from) (local.get $n)) (i32.const 4)))
            (i32.store align=1)
            (i32.store align=1)
            (return)))
        (if (i32.ge_u (local.get $n) (i32.const 2))
          (then
            ;; Both loads come before both stores: the ranges may overlap.
            (local.get $to)
            (i32.load16_u align=1 (local.get $from))
            (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 2))
            (i32.load16_u align=1 (i32.sub (i32.add (local.get $from) (local.get $n)) (i32.const 2)))
            (i32.store16 align=1)
            (i32.store16 align=1)
            (return)))
        (if (local.get $n)
          (then (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))))
        (return)))
    (if (i32.le_u (local.get $n) (i32.const 32))
      (then
        (local.get $to)
        (v128.load align=1 (local.get $from))
        (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 16))
        (v128.load align=1 (i32.sub (i32.add (local.get $from) (local.get $n)) (i32.const 16)))
        (v128.store align=1)
        (v128.store align=1)
        (return)))
    ;; Address arithmetic below must not wrap.
    (if (i64.gt_u
          (i64.add (i64.extend_i32_u (local.get $to)) (i64.extend_i32_u (local.get $n)))
          (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
      (then (unreachable)))
    ;; Address arithmetic below must not wrap.
    (if (i64.gt_u
          (i64.add (i64.extend_i32_u (local.get $from)) (i64.extend_i32_u (local.get $n)))
          (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
      (then (unreachable)))
    (if (i32.lt_u (i32.sub (local.get $to) (local.get $from)) (local.get $n))
      (then
        ;; The target begins inside the source: from the end, keeping the first 16 bytes.
        (local.set $edge (v128.load align=1 (local.get $from)))
        (local.set $end (local.get $to))
        (local.set $to (i32.add (local.get $to) (local.get $n)))
        (local.set $from (i32.add (local.get $from) (local.get $n)))
        (loop $down
          (local.set $to (i32.sub (local.get $to) (i32.const 16)))
          (local.set $from (i32.sub (local.get $from) (i32.const 16)))
          (v128.store align=1 (local.get $to) (v128.load align=1 (local.get $from)))
          (local.set $n (i32.sub (local.get $n) (i32.const 16)))
          (br_if $down (i32.gt_u (local.get $n) (i32.const 16))))
        (v128.store align=1 (local.get $end) (local.get $edge))
        (return)))
    ;; From the start, keeping the last 16 bytes.
    (local.set $end (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 16)))
    (local.set $edge
      (v128.load align=1 (i32.sub (i32.add (local.get $from) (local.get $n)) (i32.const 16))))
    (if (i32.gt_u (local.get $n) (i32.const 64))
      (then
        (loop $four
          (v128.store align=1 (local.get $to) (v128.load align=1 (local.get $from)))
          (v128.store offset=16 align=1 (local.get $to) (v128.load offset=16 align=1 (local.get $from)))
          (v128.store offset=32 align=1 (local.get $to) (v128.load offset=32 align=1 (local.get $from)))
          (v128.store offset=48 align=1 (local.get $to) (v128.load offset=48 align=1 (local.get $from)))
          (local.set $to (i32.add (local.get $to) (i32.const 64)))
          (local.set $from (i32.add (local.get $from) (i32.const 64)))
          (local.set $n (i32.sub (local.get $n) (i32.const 64)))
          (br_if $four (i32.gt_u (local.get $n) (i32.const 64))))))
    (block $done
      (loop $one
        (br_if $done (i32.le_u (local.get $n) (i32.const 16)))
        (v128.store align=1 (local.get $to) (v128.load align=1 (local.get $from)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 16)))
        (br $one)))
    (v128.store align=1 (local.get $end) (local.get $edge)))

  (func $fill (param $to i32) (param $byte i32) (param $n i32)
    (local $end i32) (local $block v128)
    (if (i32.lt_u (local.get $n) (i32.const 16))
      (then
        (block $done
          (loop $bytes
            (br_if $done (i32.eqz (local.get $n)))
            (i32.store8 (local.get $to) (local.get $byte))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $bytes)))
        (return)))
    ;; Address arithmetic below must not wrap.
    (if (i64.gt_u
          (i64.add (i64.extend_i32_u (local.get $to)) (i64.extend_i32_u (local.get $n)))
          (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
      (then (unreachable)))
    (local.set $block (i8x16.splat (local.get $byte)))
    (local.set $end (i32.sub (i32.add (local.get $to) (local.get $n)) (i32.const 16)))
    (block $done
      (loop $four
        (br_if $done (i32.le_u (local.get $n) (i32.const 64)))
        (v128.store align=1 (local.get $to) (local.get $block))
        (v128.store offset=16 align=1 (local.get $to) (local.get $block))
        (v128.store offset=32 align=1 (local.get $to) (local.get $block))
        (v128.store offset=48 align=1 (local.get $to) (local.get $block))
        (local.set $to (i32.add (local.get $to) (i32.const 64)))
        (local.set $n (i32.sub (local.get $n) (i32.const 64)))
        (br $four)))
    (block $done
      (loop $one
        (br_if $done (i32.le_u (local.get $n) (i32.const 16)))
        (v128.store align=1 (local.get $to) (local.get $block))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 16)))
        (br $one)))
    (v128.store align=1 (local.get $end) (local.get $block))))
