package org.apache.spark.api.python

import java.util.UUID

import davy._

class TenantSuite extends munit.FunSuite {
  private def tag(user: String) =
    s"SparkConnect_OperationTag_User_${user}_Session_${UUID.randomUUID}_Operation_${UUID.randomUUID}"

  test("the user of an operation is in its job tag, whatever the user is called") {
    for (user <- Seq("ann", "", "a b", "x_Session_y", "ann_Session_" + UUID.randomUUID, "\n"))
      assertEquals(Tenant.of(tag(user)), Some(s"user $user"))
    assertEquals(Tenant.of(s"mine,${tag("ann")},other"), Some("user ann"))
    assertEquals(Tenant.of(Seq("b", "a", "b").map(tag).mkString(",")), Some("user a,b"))
  }

  test("tags of the user's own say nothing") {
    val session = UUID.randomUUID
    for (
      tags <- Seq(
        null,
        "",
        "mine",
        s"SparkConnect_Execution_User_ann_Session_${session}_Tag_x",
        s"SparkConnect_OperationTag_User_ann_Session_$session",
        s"SparkConnect_OperationTag_User_ann_Session_x_Operation_y"
      )
    ) assertEquals(Tenant.of(tags), None, tags)
  }

  private final class Idle(name: String) {
    val native = new FakeSandboxes
    val sandbox =
      new Sandbox(() => Guest(native, native.startSandbox(7, "{}")), TaskLimits(0, 0, 0), () => ())
    override def toString: String = name
  }

  test("a sandbox serves one tenant") {
    val idle = new Idle("one")
    idle.sandbox.startAhead()
    assertEquals((idle.sandbox.tenant, idle.native.called.toList), (None, List("start")))
    idle.sandbox.belongTo("a")
    idle.sandbox.belongTo("a")
    idle.sandbox.await(Sandboxes.Writable, 0)
    assertEquals(idle.native.called.drop(1).toList, List("belongTo a", "beginTask 0 0 0"))
    val e = intercept[DavyException](idle.sandbox.belongTo("b"))
    assertEquals((e.fault, idle.sandbox.tenant), ("host", Some("a")))
  }

  test("a pool gives a tenant its own, the latest first, and drops the oldest of all") {
    val pool = new IdlePool[Idle](3, 60, () => 0)
    val dropped = scala.collection.mutable.Buffer[String]()
    def take(tenant: String) =
      pool.take(_.sandbox.tenant.contains(tenant), _ => true)(i => dropped += s"$i").map(_.toString)
    for (name <- Seq("a1", "b1", "a2", "b2")) {
      val idle = new Idle(name)
      idle.sandbox.belongTo(name.take(1))
      pool.put(idle)(i => dropped += s"$i")
    }
    assertEquals(dropped.toList, List("a1"))
    assertEquals(
      Seq("a", "b", "c").map(t => pool.count(_.sandbox.tenant.contains(t))),
      Seq(1, 2, 0)
    )
    assertEquals(Seq("c", "a", "a", "b", "b", "b").flatMap(take), List("a2", "b2", "b1"))
    assertEquals((dropped.toList, pool.size), (List("a1"), 0))
  }
}
