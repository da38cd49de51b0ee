package davy

import java.util.{Collections, Map => JavaMap}

import org.apache.spark.{SparkContext, SparkEnv}
import org.apache.spark.api.plugin.{DriverPlugin, ExecutorPlugin, PluginContext, SparkPlugin}
import org.apache.spark.davy.{DavyInstall, DavyMetrics}

/** Davy's entry: `spark.plugins=davy.DavyPlugin` is all that an application sets. */
final class DavyPlugin extends SparkPlugin {

  override def driverPlugin(): DriverPlugin = new DriverPlugin {
    override def init(sc: SparkContext, context: PluginContext): JavaMap[String, String] = {
      DavyInstall.onDriver(sc)
      Collections.emptyMap()
    }
    override def shutdown(): Unit = DavyInstall.shutdown(SparkEnv.get)
  }

  override def executorPlugin(): ExecutorPlugin = new ExecutorPlugin {
    override def init(context: PluginContext, extra: JavaMap[String, String]): Unit = {
      DavyInstall.onExecutor(SparkEnv.get)
      DavyMetrics.register(context.metricRegistry(), SparkEnv.get)
    }
    override def shutdown(): Unit = DavyInstall.shutdown(SparkEnv.get)
  }
}
