package mount

import (
	"net"
	"os"
	"testing"
	"time"
)

// A device number is free from the unmount on. When the keeper that had it ends, the next one's socket stays.
func TestSocketOfTheNextKeeper(t *testing.T) {
	needRoot(t)
	at := Info{Major: 4095, Minor: os.Getpid()} // of no mount
	listening := func() *Keeper {
		k := &Keeper{conn: &Conn{at: at}, ended: make(chan struct{})}
		if err := k.listen(); err != nil {
			t.Fatal(err)
		}
		return k
	}
	first, second := listening(), listening()
	close(first.ended)
	time.Sleep(50 * time.Millisecond)
	conn, err := net.Dial("unix", socketPath(at))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	close(second.ended)
	for range 100 {
		if _, err = os.Lstat(socketPath(at)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the socket of a keeper that has ended is left")
}
