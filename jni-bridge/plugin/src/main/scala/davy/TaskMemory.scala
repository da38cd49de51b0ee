package davy

/** Where the memory that sandboxes hold for their tasks is accounted for. */
trait TaskMemory {

  /**
   * Opens an account for the task that begins now. Called on its thread, before the guest gets its
   * first byte; throws if what the sandbox holds already is too much.
   */
  def open(guest: Guest): TaskMemory.Account
}

object TaskMemory {

  /** One task's use of one sandbox. */
  trait Account {

    /** What [[Sandboxes.await]] is asked for beside what its caller wants. */
    def ops: Int

    /** Answers a guest that waits for memory. */
    def serve(): Unit

    /** The task is through with the sandbox. Closing again does nothing. */
    def close(): Unit
  }

  /** Nobody accounts for anything. */
  object None extends TaskMemory with Account {
    override def open(guest: Guest): Account = this
    override def ops: Int = 0
    override def serve(): Unit = ()
    override def close(): Unit = ()
  }
}
