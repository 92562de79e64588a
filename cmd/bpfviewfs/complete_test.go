package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestCompletionInShells presses the tabulator in the real shells.
func TestCompletionInShells(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.child("odd name$x.service")
	top := filepath.Base(c.path)
	scripts := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := exec.Command(command, "completion", shell).Output()
		if err != nil {
			t.Fatal(err)
		}
		name := map[string]string{"bash": "bpfviewfs.bash", "zsh": "_bpfviewfs",
			"fish": "bpfviewfs.fish"}[shell]
		if err := os.WriteFile(filepath.Join(scripts, name), out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := map[string]struct {
		program []string
		prepare string
	}{
		"bash": {[]string{"bash", "--norc", "--noprofile"},
			". /usr/share/bash-completion/bash_completion; . " + scripts +
				"/bpfviewfs.bash; PS1='% '; bind 'set bell-style none'"},
		"zsh": {[]string{"zsh", "-f"}, "PS1='%% '; fpath=(" + scripts +
			" $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep"},
		"fish": {[]string{"fish", "--no-config"}, "function fish_prompt; echo '% '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0; source " + scripts + "/bpfviewfs.fish"},
	}
	for shell, r := range run {
		t.Run(shell, func(t *testing.T) {
			testenv.Needs(t, shell, "tmux", "/usr/share/bash-completion/bash_completion")
			s := newScreen(t, 100, 20, nil, r.program...)
			s.send("-l", r.prepare+"; clear; echo re''ady")
			s.send("Enter")
			s.await("ready")
			for _, tt := range []struct{ typed, want string }{
				{"bpfviewfs relo", "bpfviewfs reload"},
				{"bpfviewfs cat taskspb " + top[:len(top)-1],
					"bpfviewfs cat taskspb " + top + "/"},
				{"bpfviewfs cat processe", "bpfviewfs cat processes"},
				{"bpfviewfs umount " + dir[:len(dir)-1], "bpfviewfs umount " + dir},
				{"bpfviewfs mount -o regis", "bpfviewfs mount -o registry="},
				{"bpfviewfs mount -o mode=0444,enable=reclaim:runq",
					"-o mode=0444,enable=reclaim:runqlat"},
				{"bpfviewfs views -o uid=daemo", "-o uid=daemon"},
				{"bpfviewfs cat --format js", "--format json"},
				{"bpfviewfs views --log-level warn", "--log-level warning"},
				{"bpfviewfs show --fro", "bpfviewfs show --from"},
				{"bpfviewfs show --from x cpu " + top[:len(top)-1], "--from x cpu " + top + "/"},
				{"bpfviewfs record /dev/nul", "bpfviewfs record /dev/null"},
				{"bpfviewfs record x memo", "bpfviewfs record x memory"},
				{"bpfviewfs replay --dump open", "--dump openmetrics"},
			} {
				s.send("C-u")
				s.send("-l", tt.typed)
				s.send("Tab")
				text := s.await(tt.want)
				if strings.Contains(text, tt.want+tt.want) {
					t.Errorf("%s: %s", tt.typed, text)
				}
			}
			// A name with a blank and a dollar is one word, as the shell quotes it.
			s.send("C-u")
			s.send("-l", "bpfviewfs cat cgroup "+top+"/odd")
			s.send("Tab")
			s.await("service/")
			s.send("BSpace", "Enter")
			s.await("CONTROLLERS", "odd name$x.service\n")
		})
	}
}
