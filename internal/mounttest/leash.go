package mounttest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// leashVar names a run of tests in the environment of all that it starts.
const leashVar = "BPFVIEWFS_TEST_RUN"

// leashed kills the processes of a run, unless it is told that the run has ended well.
const leashed = `read -r _ && exit
for dir in /proc/[0-9]*; do
	tr '\0' '\n' <"$dir/environ" 2>/dev/null | grep -qxF "$0" && kill -KILL "${dir#/proc/}"
done`

// Leash has all processes that this one starts end if it is killed. Else keepers would live on in the background,
// with their mounts and all others of their mount namespace. A run that ends by itself calls release.
func Leash() (release func(), err error) {
	run := fmt.Sprintf("%s=%d.%d", leashVar, os.Getpid(), time.Now().UnixNano())
	cmd := exec.Command("sh", "-c", leashed, run)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives a kill of the process group
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	os.Setenv(leashVar, run[len(leashVar)+1:])
	return func() {
		stdin.Write([]byte("ended\n"))
		cmd.Wait()
	}, nil
}
