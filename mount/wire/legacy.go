package wire

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// KeeperVar is in the environment of a server process and holds the keeper's pid. Without it there is no
// keeper.
const KeeperVar = "BPFVIEWFS_KEEPER"

// standbyVar is in the environment of a server that is a standby.
const standbyVar = "BPFVIEWFS_STANDBY"

// keptVar holds the number of the descriptor of Legacy.Kept, in a server's environment.
const keptVar = "BPFVIEWFS_KEPT"

// Device is the descriptor of the connection to the kernel, in a server process.
const Device = 3

// Legacy has the files that a server inherits from its keeper, behind Device. Servers of every version find
// them at the same descriptors.
type Legacy struct {
	Requests *os.File // see handoff.Memory
	Memory   *os.File // of open files
	Wire     *os.File // the server's end
	Kept     *os.File // that an earlier server has sent with Keep; nil if there is none

	Standby bool // the server is to wait beside the one that serves
}

// HandTo adds the connection, the files and their names to what a server process gets. It has its three
// standard streams already.
func (l Legacy) HandTo(server *os.ProcAttr, device *os.File) {
	server.Env = append(server.Env, fmt.Sprintf("%s=%d", KeeperVar, os.Getpid()))
	server.Files = append(server.Files, device, l.Requests, l.Memory, l.Wire)
	if l.Standby {
		server.Env = append(server.Env, standbyVar+"=1")
	}
	if l.Kept != nil {
		server.Env = append(server.Env, fmt.Sprintf("%s=%d", keptVar, len(server.Files)))
		server.Files = append(server.Files, l.Kept)
	}
}

// Inherit returns the files that this process has from its keeper, once.
func Inherit() (l Legacy) {
	take := func(fd int, name string) *os.File {
		unix.CloseOnExec(fd)
		return os.NewFile(uintptr(fd), name)
	}
	unix.CloseOnExec(Device)
	l = Legacy{Requests: take(4, "requests"), Memory: take(5, "memory"), Wire: take(6, "keeper")}
	if fd, err := strconv.Atoi(os.Getenv(keptVar)); err == nil {
		l.Kept = take(fd, "kept")
	}
	l.Standby = os.Getenv(standbyVar) != ""
	os.Unsetenv(keptVar)
	os.Unsetenv(standbyVar)
	return l
}
