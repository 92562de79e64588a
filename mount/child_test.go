package mount

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/server"
	"bpfviewfs/mount/wire"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Children of the tests are the test binary itself, in a role.
const roleVar = "BPFVIEWFS_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if os.Getenv(guardVar) != "" { // of a keeper in a test, too
		role = "guard"
	}
	if role != "" {
		if os.Getenv(wire.KeeperVar) != "" {
			role = "server"
		}
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exit.Code(err))
		}
		return
	}
	release, err := mounttest.Leash()
	if err != nil {
		panic(err)
	}
	code := m.Run()
	release()
	os.Exit(code)
}

var roles = map[string]func(args []string) error{
	"ours":   keepOurs,
	"server": serveOurs,
	"stock":  serveStock,
	"main":   mainProgram,
	"die":    dieInBackground,
	"guard":  standGuard,
}

func child(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	return cmd
}

// spawn starts a child in a role and waits until it says "ready". It is killed, by its pid, when the test
// ends.
func spawn(tb testing.TB, role string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := child(role, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		tb.Fatalf("%s: said %q: %v", role, line, err)
	}
	return cmd
}

func keepOurs(args []string) error {
	k := newChildKeeper(Options{Source: "ours", Target: args[0], Foreground: true})
	return k.Run(func(err error) error {
		if err == nil {
			fmt.Println("ready")
		}
		return err
	})
}

func newChildKeeper(o Options) *Keeper {
	return &Keeper{
		Options: o,
		Args:    []string{"server"},
		View:    func(uint64) (int, bool) { return 0, false },
		Logf:    func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
}

// stuckVar names a file, mostly none, that never answers. The thread that opens the file stuck waits for it
// in the kernel.
const stuckVar = "BPFVIEWFS_TEST_STUCK"

// serveOurs is the server of these keepers.
func serveOurs([]string) error {
	c, err := server.Inherit()
	if err != nil {
		return err
	}
	fs := benchFile()
	stuck := mounttest.Direct("stuck", "")
	stuck.Open = func(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
		_, err := mounttest.Open(os.Getenv(stuckVar))
		return fuse.ToStatus(err)
	}
	fs.Files = append(fs.Files, mounttest.Direct("pid", os.Getenv(wire.KeeperVar)), stuck)
	c.Loading("loading view hello (1 of 1)")
	return c.Serve(fs, nil)
}

// stock is go-fuse's own server.
func stock(fs fuse.RawFileSystem, dir string) (*fuse.Server, error) {
	return fuse.NewServer(fs, dir, &fuse.MountOptions{
		Name: "stock", DirectMountStrict: true, AllowOther: true, DisableXAttrs: true,
		DirectMountFlags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV, Options: []string{"default_permissions"},
	})
}

func serveStock(args []string) error {
	s, err := stock(benchFile(), args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	s.Serve()
	return nil
}

// dieVar has a program that runs in an earlier keeper's place die of SIGTERM at once.
const dieVar = "BPFVIEWFS_TEST_DIE"

// mainProgram is the main function of a command.
func mainProgram(args []string) error {
	if os.Getenv(dieVar) != "" && resuming() {
		unix.Kill(os.Getpid(), unix.SIGTERM)
		select {}
	}
	o, err := ParseArgs(args)
	if err != nil {
		return err
	}
	ready, err := Background(o)
	if ready == nil {
		return err
	}
	return newChildKeeper(o).Run(ready)
}

func dieInBackground([]string) error {
	ready, err := Background(Options{})
	if ready != nil {
		os.Exit(7)
	}
	return err
}

func standGuard([]string) error {
	return newChildKeeper(Options{}).Run(nil)
}
