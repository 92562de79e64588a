#!/bin/bash
# Guess:     SIOCOUTQ is what tcp(7) says: the amount of unsent data in the send queue of the socket. A
#            socket that is closed has none, and no socket has more than it was given.
# Behaviour: the kernel subtracts two sequence numbers and does not look at the queue. A connection that
#            was refused has 3 bytes, one that was reset has all that it had before, though the queue is
#            empty. A socket of MPTCP whose peer knows only TCP counts what it sends twice. So a monitor
#            that adds up send queues shows megabytes in descriptors that a program forgot to close.
# Versions:  Linux 6.18. Needs python3; MPTCP only if the kernel has it.
# Seen:      refused: 3
#            reset: gave 3910656, SIOCOUTQ 3877915
#            mptcp: gave 4023184, SIOCOUTQ 7849907
set -euo pipefail
python3 - <<'END'
import array, fcntl, socket, struct, termios

TCP = dict(family=socket.AF_INET, type=socket.SOCK_STREAM)

def outq(s):
    n = array.array("i", [0])
    fcntl.ioctl(s, termios.TIOCOUTQ, n)  # the same number as SIOCOUTQ
    return n[0]

def fill(protocol):
    """A connection to a peer that reads nothing, full, and the bytes that it took."""
    s, given = socket.socket(proto=protocol, **TCP), 0
    s.connect(listener.getsockname())
    peer, _ = listener.accept()
    s.setblocking(False)
    try:
        while True:
            given += s.send(bytes(1 << 16))
    except BlockingIOError:
        return s, peer, given

listener = socket.socket(**TCP)
listener.bind(("127.0.0.1", 0))
refused = socket.socket(**TCP)
refused.connect_ex(listener.getsockname())
listener.listen()
print("refused:", outq(refused))

reset, peer, given = fill(0)
peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
peer.close()
info = struct.unpack_from("B", reset.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8))
print(f"reset: gave {given}, SIOCOUTQ {outq(reset)}")
assert info == (7,), "not closed"  # TCP_CLOSE
assert outq(refused) > 0 and outq(reset) > 1 << 20
try:
    twice, peer, given = fill(socket.IPPROTO_MPTCP)
except OSError as e:
    print("no MPTCP:", e)
else:
    print(f"mptcp: gave {given}, SIOCOUTQ {outq(twice)}")
    assert outq(twice) > given
END
