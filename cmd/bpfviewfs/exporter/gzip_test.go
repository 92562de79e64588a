package exporter

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestGzipIsOneMember reads pages in Go, which can be told to stop after the first member, and with curl,
// which always does.
func TestGzipIsOneMember(t *testing.T) {
	testenv.Needs(t, "curl")
	for _, texts := range [][]string{
		{},
		{""},
		{"a"},
		{"", "a\n", ""},
		{strings.Repeat("a line\n", 20_000), "b\n", strings.Repeat("another line\n", 50_000), "c"},
	} {
		var pages []*page
		for _, text := range texts {
			p := new(page)
			out, end := p.writer(form{gzip: true})
			if _, err := io.WriteString(out, text); err != nil {
				t.Fatal(err)
			}
			end()
			pages = append(pages, p)
		}
		var packed bytes.Buffer
		if err := writeGzip(&packed, pages); err != nil {
			t.Fatal(err)
		}
		want, whole := strings.Join(texts, ""), packed.Bytes()
		z, err := gzip.NewReader(&packed)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false)
		if got, err := io.ReadAll(z); err != nil || string(got) != want || packed.Len() > 0 {
			t.Errorf("%d pages: %d of %d bytes, %d left (%v)", len(texts), len(got), len(want),
				packed.Len(), err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(whole)
		}))
		got, err := exec.Command("curl", "-sS", "--compressed", server.URL).CombinedOutput()
		server.Close()
		if err != nil || string(got) != want {
			t.Errorf("%d pages: curl read %d of %d bytes (%v)", len(texts), len(got), len(want), err)
		}
	}
}

func FuzzJoinSums(f *testing.F) {
	f.Add([]byte(""), []byte(""))
	f.Add([]byte("a"), []byte(""))
	f.Add([]byte(""), []byte("a"))
	f.Add([]byte("bpfview"), bytes.Repeat([]byte{0}, 70_000))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		sum := crc32.ChecksumIEEE
		got, want := joinSums(sum(a), sum(b), int64(len(b))), sum(append(a[:len(a):len(a)], b...))
		if got != want {
			t.Errorf("%q and %q: %#x, want %#x", a, b, got, want)
		}
	})
}
