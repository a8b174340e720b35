"""Serves an Iceberg REST catalogue on 127.0.0.1 until its standard input ends.

It is the server of Iceberg's own tests, over a catalogue in a SQLite file. Runs with
the Python of .venv-spark. Arguments: the folder of its jars, the location of the
tables, and the SQLite file. Prints its URL. The variables AWS_... give it access to the
bucket.
"""

import sys
import sysconfig
from pathlib import Path

from py4j.java_gateway import (  # type: ignore[import-not-found]
    GatewayParameters,
    JavaGateway,
    launch_gateway,
)

jars, warehouse, file = sys.argv[1:]
of_spark = Path(sysconfig.get_path("purelib"), "pyspark", "jars")
of_target = (f"{sys.prefix}/jars/{name}.jar" for name in ("aws", "sqlite"))
(py4j,) = of_spark.glob("py4j-*.jar")
port, token = launch_gateway(
    jarpath=str(py4j),
    classpath=":".join((f"{jars}/*", *of_target, f"{of_spark}/*")),
    die_on_exit=True,
    enable_auth=True,
)
java = JavaGateway(
    gateway_parameters=GatewayParameters(port=port, auth_token=token, auto_convert=True)
)
catalogue = java.jvm.org.apache.iceberg.jdbc.JdbcCatalog()
catalogue.setConf(java.jvm.org.apache.hadoop.conf.Configuration())
catalogue.initialize(
    "served",
    {
        "uri": f"jdbc:sqlite:{file}",
        "jdbc.schema-version": "V1",
        "warehouse": warehouse,
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.path-style-access": "true",
    },
)
jetty = java.jvm.org.eclipse.jetty
server = jetty.server.Server(java.jvm.java.net.InetSocketAddress("127.0.0.1", 0))
handler = jetty.servlet.ServletContextHandler(0)
rest = java.jvm.org.apache.iceberg.rest
servlet = rest.RESTCatalogServlet(rest.RESTCatalogAdapter(catalogue))
handler.addServlet(jetty.servlet.ServletHolder(servlet), "/*")
server.setHandler(handler)
server.start()
print(f"http://127.0.0.1:{server.getConnectors()[0].getLocalPort()}", flush=True)
sys.stdin.read()
