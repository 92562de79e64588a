package openfiles

import (
	"os"
	"testing"
)

// TestOtherMemory: memory that is shorter than it should be, or no memory, is an error or is mended.
func TestOtherMemory(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("\x07"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("memory of another layout is taken")
	}
	if null, err := os.Open("/dev/null"); err != nil {
		t.Fatal(err)
	} else if _, err := Open(null); err == nil {
		t.Error("/dev/null is taken for memory")
	}
}
