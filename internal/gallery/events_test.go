package gallery

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// events has the event of each view. It returns a number to compare with the view.
var events = map[string]func() (string, error){
	"faults": fault, "switches": sleep, "biolat": readDevice, "retransmits": loseSegments,
	"connects": connect,
	"forks":    start, "oomkills": exhaust, "futexes": waitForNobody,
}

// Every event happens often times, or is about so many.
const often = 20

func init() {
	ktest.Jobs["event"] = func(rest string) error {
		procs, name, _ := strings.Cut(rest, ";")
		for file := range strings.SplitSeq(procs, ",") {
			if err := os.WriteFile(file, []byte("0"), 0); err != nil {
				return err
			}
		}
		var err error
		switch name { // preparations, which do not count
		case "forks": // the first time os/exec starts one process more, to try the kernel
			err = exec.Command("true").Run()
		case "biolat":
			onDevice, err = fileOnDevice()
			defer os.Remove(onDevice)
		}
		if err != nil {
			return err
		}
		in := bufio.NewReader(os.Stdin)
		for fmt.Println("ready"); ; {
			if _, err := in.ReadString('\n'); err != nil {
				return nil // the test is over
			}
			numbers, err := events[name]()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Println(numbers)
		}
	}
}

// fault touches pages for the first time. It gives the page faults of the process by getrusage(2).
func fault() (string, error) {
	const pages = 2000
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		return "", err
	}
	size := pages * os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return "", err
	}
	unix.Madvise(memory, unix.MADV_NOHUGEPAGE) // EINVAL without huge pages
	for at := 0; at < size; at += os.Getpagesize() {
		memory[at] = 1
	}
	if err := unix.Munmap(memory); err != nil {
		return "", err
	}
	err = unix.Getrusage(unix.RUSAGE_SELF, &after)
	return fmt.Sprint(after.Minflt + after.Majflt - before.Minflt - before.Majflt), err
}

// sleep leaves the CPU. The test reads the numbers in /proc.
func sleep() (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range often {
		if err := unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil); err != nil && err != unix.EINTR {
			return "", err
		}
	}
	return "-", nil
}

// onDevice is the file of fileOnDevice.
var onDevice string

// readDevice reads from a file or a block device, past the page cache. It gives the number of reads.
func readDevice() (string, error) {
	if onDevice != "" {
		return fmt.Sprint(often), readDirectly(onDevice)
	}
	partitions, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("/dev", "bpfviewfs-test-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	var errs []error
	for i, line := range strings.Split(string(partitions), "\n") {
		var major, minor uint32
		var blocks uint64
		if n, _ := fmt.Sscan(line, &major, &minor, &blocks); n < 3 || blocks < often*4 {
			continue
		}
		node := filepath.Join(dir, fmt.Sprint(i))
		err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor)))
		if err == nil {
			err = readDirectly(node)
		}
		if err == nil {
			return fmt.Sprint(often), nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", line, err))
	}
	return "none: " + strings.Join(strings.Fields(fmt.Sprint(errors.Join(errs...))), " "), nil
}

// fileOnDevice makes a file on a filesystem that is on one device; "" if there is none.
func fileOnDevice() (string, error) {
	for _, dir := range []string{os.TempDir(), "/var/tmp", "/"} {
		f, err := os.CreateTemp(dir, "bpfviewfs-test-*")
		if err != nil {
			continue
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return "", err
		}
		if unix.Major(st.Dev) != 0 { // 0 is of those without a device: tmpfs, overlayfs
			_, err := f.Write(make([]byte, often*4096))
			return f.Name(), errors.Join(err, f.Sync())
		}
		os.Remove(f.Name())
	}
	return "", nil
}

func readDirectly(node string) error {
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	block, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer unix.Munmap(block)
	for i := range int64(often) {
		if n, err := unix.Pread(fd, block, i*4096); err != nil || n != len(block) {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
	}
	return nil
}

// connection makes a TCP connection on the loopback device.
func connection() (client, server *net.TCPConn, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	s, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return c.(*net.TCPConn), s.(*net.TCPConn), nil
}

// loseSegments sends to a socket that drops all packets, until a segment was sent again. It gives the number
// of segments by TCP_INFO.
func loseSegments() (string, error) {
	client, server, err := connection()
	if err != nil {
		return "", err
	}
	defer server.Close()
	defer client.Close()
	client.SetLinger(0) // ends without a word
	server.SetLinger(0)
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // no byte of a packet is kept
	if err := onSocket(server, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
	}); err != nil {
		return "", err
	}
	if _, err := client.Write([]byte("x")); err != nil {
		return "", err
	}
	var resent uint32
	for deadline := time.Now().Add(time.Minute); resent < 2; time.Sleep(10 * time.Millisecond) {
		if err := onSocket(client, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				resent = info.Total_retrans
			}
			return err
		}); err != nil {
			return "", err
		}
		if time.Now().After(deadline) {
			return "", errors.New("nothing is sent again")
		}
	}
	return fmt.Sprint(resent), nil
}

func onSocket(c *net.TCPConn, do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}

// connect makes connections, and is refused as often.
func connect() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	dial := func() error {
		c, err := net.Dial("tcp4", address)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	for range often {
		if err := dial(); err != nil {
			return "", err
		}
	}
	if err := l.Close(); err != nil {
		return "", err
	}
	for range often {
		if err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			return "", fmt.Errorf("without a listener: %w", err)
		}
	}
	return fmt.Sprint(often), nil
}

// start runs a program.
func start() (string, error) {
	for range often {
		if err := exec.Command("true").Run(); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(often), nil
}

// exhaust uses memory until the process is killed.
func exhaust() (string, error) {
	for range 1 << 10 {
		memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return "", err
		}
		copy(memory, bytes.Repeat([]byte{1}, len(memory)))
	}
	return "", errors.New("it has a gigabyte, and lives")
}

// waitForNobody waits for futexes that nobody wakes. It gives the time of the waits in microseconds.
func waitForNobody() (string, error) {
	const wait = 0 // of linux/futex.h
	var word uint32
	begin := time.Now()
	for range often {
		timeout := unix.Timespec{Nsec: 2e6}
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&word)), wait, 0,
			uintptr(unsafe.Pointer(&timeout)), 0, 0)
		if errno != unix.ETIMEDOUT && errno != unix.EINTR {
			return "", errno
		}
	}
	return fmt.Sprint(time.Since(begin).Microseconds()), nil
}
