import socket

from service.machine import process


def test_a_port_is_taken_while_somebody_listens_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert process.is_taken(port)
        assert ("127.0.0.1", port) in process.listening()
    assert not process.is_taken(port)
