package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func into(copy func(to int) (int, error)) ([]byte, error) {
	to, err := os.CreateTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	for {
		n, err := copy(int(to.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return os.ReadFile(to.Name())
		}
	}
}
