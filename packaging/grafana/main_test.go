package main

import (
	"os"
	"testing"
)

// TestGenerated holds that the dashboard in the repository is this program's.
func TestGenerated(t *testing.T) {
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("bpfviewfs.json")
	if err != nil || string(got) != string(want) {
		t.Errorf("bpfviewfs.json is out of date (%v): go generate ./packaging/grafana", err)
	}
}
