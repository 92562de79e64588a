package state

import (
	"testing"

	"bpfviewfs/internal/ktest"
)

func TestMain(m *testing.M) { ktest.Main(m) }
