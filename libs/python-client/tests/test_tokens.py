"""The token of a client: where it comes from, that services get it, and where it is not sent."""

import os
import tempfile
import unittest
from concurrent import futures
from pathlib import Path
from unittest import mock

import grpc

from dropstream import Client, Tls, errors
from dropstream.caller_token import WithToken, caller_token
from dropstream.v1 import scheduler_pb2, scheduler_pb2_grpc

TOKEN = "dst_0123456789ab_" + 43 * "x"


class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    def ListSchedules(self, request, context):
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the caller is not known")
        return scheduler_pb2.ListSchedulesResponse()


class Tokens(unittest.TestCase):
    def test_a_service_gets_the_token_that_is_given_or_in_the_environment(self):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(Scheduler(), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.addCleanup(server.stop, None)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "token")
        path.write_text(TOKEN + "\n")

        def lists(token=None, **environment):
            with mock.patch.dict(os.environ, environment), Client(scheduler=address, token=token) as client:
                client.call("scheduler", "ListSchedules", scheduler_pb2.ListSchedulesRequest(parent="projects/p"))

        lists(TOKEN)
        lists(DROPSTREAM_TOKEN=TOKEN)
        lists(DROPSTREAM_TOKEN_FILE=str(path))
        with self.assertRaises(errors.Unauthenticated):
            lists()

    def test_a_token_that_is_replaced_in_its_file_is_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "token")
            path.write_text("dst_0123456789ab_" + 43 * "y")
            with mock.patch.dict(os.environ, DROPSTREAM_TOKEN_FILE=str(path)), mock.patch("dropstream.caller_token.LOOK", 0):
                metadata = WithToken({"a": "b"}, caller_token(None))
                self.assertEqual(metadata["authorization"], "Bearer dst_0123456789ab_" + 43 * "y")
                path.write_text(TOKEN)
                self.assertEqual(dict(metadata), {"a": "b", "authorization": f"Bearer {TOKEN}"})
                path.write_text("no token")
                self.assertEqual(metadata["authorization"], f"Bearer {TOKEN}")
                path.unlink()
                self.assertEqual(metadata["authorization"], f"Bearer {TOKEN}")

    def test_a_token_is_not_sent_in_plain_text_to_another_machine_and_not_shown(self):
        for address in ("192.0.2.1:1", "127.0.0.1.example:1", "dns:///scheduler:1", "127.0.0.1:1,192.0.2.1:1"):
            for service in ("data", "scheduler"):
                with self.assertRaisesRegex(ValueError, "not sent in plain text") as raised:
                    Client(**{service: address}, token=TOKEN)
                self.assertNotIn("dst_", str(raised.exception))
        for address in ("127.0.0.2:1", "localhost:1", "[::1]:1", "unix:/tmp/socket", "dns:///localhost:1"):
            Client(scheduler=address, token=TOKEN).close()
        Client(scheduler="192.0.2.1:1", token=TOKEN, tls=Tls()).close()
        with self.assertRaises(ValueError) as raised:
            Client(scheduler="127.0.0.1:1", token=f"{TOKEN} and more")
        self.assertNotIn("dst_", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
