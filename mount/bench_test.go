package mount

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

func benchFile() *mounttest.FS {
	fs := mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial))
	fs.AttrTimeout = time.Second
	return fs
}

// BenchmarkLoop reads a trivial file of three servers, each a process of its own. They are this package,
// go-fuse's own server with the same filesystem, and the benchmark's server in C with libfuse, with one
// thread and with many (if there is a C compiler and libfuse3-dev). They take turns in short rounds, so that
// a busy machine is busy for all. The results are microseconds for each server, and each one's time relative
// to this package's (above 1 is slower).
func BenchmarkLoop(b *testing.B) {
	testenv.NeedsRoot(b)
	servers := []string{"ours", "stock"}
	files := map[string]string{}
	for _, s := range servers {
		dir := mounttest.TempDir(b)
		mounttest.UnmountAfter(b, dir)
		spawn(b, s, dir)
		files[s] = filepath.Join(dir, "hello")
	}
	if c := buildC(b); c != "" {
		for _, s := range []string{"libfuse-single", "libfuse-multi"} {
			files[s] = spawnC(b, c, s == "libfuse-single")
			servers = append(servers, s)
		}
	}
	for _, work := range []struct {
		name string
		do   func(path string, n int) error
	}{{"open-read-read-close", openReadClose}, {"pread", preads}} {
		for _, readers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/readers=%d", work.name, readers), func(b *testing.B) {
				round := min(1000, b.N)
				took := map[string]time.Duration{}
				b.ResetTimer()
				for n := 0; n < b.N; n += round {
					for _, s := range servers {
						took[s] += parallel(b, readers, func() error {
							return work.do(files[s], (round+readers-1)/readers)
						})
					}
				}
				ops := float64((b.N + round - 1) / round * round)
				b.ReportMetric(0, "ns/op")
				for _, s := range servers {
					b.ReportMetric(float64(took[s].Nanoseconds())/ops/1000, s+"-µs")
					if s != "ours" {
						b.ReportMetric(float64(took[s])/float64(took["ours"]), s+"/ours")
					}
				}
			})
		}
	}
}

func parallel(b *testing.B, n int, do func() error) time.Duration {
	var group sync.WaitGroup
	start := time.Now()
	for range n {
		group.Go(func() {
			if err := do(); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

func openReadClose(path string, n int) error {
	buf := make([]byte, 4096)
	for range n {
		fd, err := mounttest.Open(path)
		if err != nil {
			return err
		}
		for n := 1; n > 0; {
			n, _ = unix.Read(fd, buf)
		}
		unix.Close(fd)
	}
	return nil
}

func preads(path string, n int) error {
	fd, err := mounttest.Open(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for range n {
		if _, err := unix.Pread(fd, buf, 0); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}

// buildC compiles the benchmark's server of static files, or returns "" if that cannot be done.
func buildC(b *testing.B) string {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "fuse3").Output()
	if err != nil {
		b.Log("no comparison with libfuse: no fuse3 for pkg-config")
		return ""
	}
	bin := filepath.Join(b.TempDir(), "static")
	args := append([]string{"-O2", "-o", bin, "../.ci/bench/c/static.c"}, strings.Fields(string(flags))...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		b.Logf("no comparison with libfuse: cc: %v\n%s", err, out)
		return ""
	}
	return bin
}

// spawnC starts the server in C and gives the path of a file as large as the trivial one.
func spawnC(b *testing.B, bin string, single bool) (file string) {
	dir := mounttest.TempDir(b)
	args := []string{dir, strconv.Itoa(len(mounttest.Trivial)), "1"}
	if single {
		args = append(args, "single")
	}
	cmd := exec.Command(bin, args...)
	cmd.Stderr = os.Stderr
	mounttest.UnmountAfter(b, dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	file = filepath.Join(dir, "f0")
	mounttest.Eventually(b, func() bool { _, err := mounttest.ReadAll(file); return err == nil },
		func() string { return "the server in C does not serve" })
	return file
}
