package exporter

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/readers"
	"golang.org/x/sys/unix"
)

const cpuPage = `# HELP bpfview_cpu_usage_seconds_total CPU "time"
# TYPE bpfview_cpu_usage_seconds_total counter
# UNIT bpfview_cpu_usage_seconds_total seconds
bpfview_cpu_usage_seconds_total{cgroup="/"} 7
bpfview_cpu_usage_seconds_total{cgroup="/system.slice/a\\x2d\"b.service"} 1.5
# HELP bpfview_cpu_running threads
# TYPE bpfview_cpu_running gauge
bpfview_cpu_running{cgroup="/system.slice/a.service",unit="own, \"slice=\"",slice=""} 2
`

// newMount makes a directory with files as a mount has them, and an exporter of it.
func newMount(t *testing.T, o Options, files map[string]string) (string, *Exporter) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/.bpfview/textfile", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(dir+"/.bpfview/textfile/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.Mount = dir
	return dir, New(o)
}

// get scrapes once. headers are names and values in turn.
func get(e *Exporter, query string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics"+query, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// views cuts the exporter's own metrics off.
func views(t *testing.T, page string) string {
	t.Helper()
	own := strings.Index(page, "# HELP bpfview_exporter_")
	if own < 0 {
		t.Fatalf("the exporter's own metrics are missing:\n%s", page)
	}
	return page[:own]
}

func TestText(t *testing.T) {
	_, e := newMount(t, Options{}, map[string]string{"cpu.prom": cpuPage, "notes": "no metrics"})
	w := get(e, "")
	want := `# HELP bpfview_cpu_usage_seconds_total CPU "time"
# TYPE bpfview_cpu_usage_seconds_total counter
# UNIT bpfview_cpu_usage_seconds_total seconds
bpfview_cpu_usage_seconds_total{cgroup="/"} 7
bpfview_cpu_usage_seconds_total{cgroup="/system.slice/a\\x2d\"b.service",slice="system.slice",unit="a\\x2d\"b.service"} 1.5
# HELP bpfview_cpu_running threads
# TYPE bpfview_cpu_running gauge
bpfview_cpu_running{cgroup="/system.slice/a.service",unit="own, \"slice=\"",slice=""} 2
`
	if got := views(t, w.Body.String()); w.Code != http.StatusOK || got != want {
		t.Errorf("%d\n%s\nwant\n%s", w.Code, got, want)
	}
	if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("it is %q", kind)
	}
	families := readers.Prom(t, w.Body.Bytes())
	if up := families["bpfview_exporter_up"].Metric[0].Gauge.GetValue(); up != 1 {
		t.Errorf("up is %v", up)
	}
}

func TestOpenMetrics(t *testing.T) {
	_, e := newMount(t, Options{}, map[string]string{"cpu.prom": cpuPage})
	w := get(e, "", "Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	page := w.Body.String()
	want := `# HELP bpfview_cpu_usage_seconds CPU \"time\"
# TYPE bpfview_cpu_usage_seconds counter
# UNIT bpfview_cpu_usage_seconds seconds
bpfview_cpu_usage_seconds_total{cgroup="/"} 7
`
	if !strings.HasPrefix(page, want) || !strings.HasSuffix(page, "\n# EOF\n") ||
		strings.Count(page, "# EOF") != 1 {
		t.Errorf("got\n%s\nwant first\n%s", page, want)
	}
	if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind,
		"application/openmetrics-text; version=1.0.0") {
		t.Errorf("it is %q", kind)
	}
	if !strings.Contains(page, "# TYPE bpfview_cpu_running gauge\n") {
		t.Errorf("the gauge has lost its type:\n%s", page)
	}
}

// A page larger than a chunk and a READ is the same, compressed or not.
func TestLargePage(t *testing.T) {
	var text strings.Builder
	text.WriteString("# HELP bpfview_x x\n# TYPE bpfview_x gauge\n")
	for i := range 40000 {
		fmt.Fprintf(&text, "bpfview_x{cgroup=\"/some/long/path/of/a/cgroup/%d\"} %d\n", i, i)
	}
	_, e := newMount(t, Options{}, map[string]string{"x.prom": text.String(), "y.prom": cpuPage})
	if text.Len() < 2*readSize {
		t.Fatalf("%d bytes are not large", text.Len())
	}
	plain := get(e, "")
	if !strings.HasPrefix(plain.Body.String(), text.String()) {
		t.Error("the page is not what was read")
	}
	packed := get(e, "", "Accept-Encoding", "br, gzip;q=0.5")
	size := packed.Body.Len()
	z, err := gzip.NewReader(packed.Body)
	if err != nil || packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || views(t, string(got)) != views(t, plain.Body.String()) {
		t.Errorf("the compressed page differs (%v)", err)
	}
	if size > plain.Body.Len()/4 {
		t.Errorf("%d bytes are not compressed", size)
	}
	if w := get(e, "", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("it is compressed though the client refuses that")
	}
}

func TestChoice(t *testing.T) {
	_, e := newMount(t, Options{}, map[string]string{"cpu.prom": cpuPage, "psi.prom": "bpfview_psi 1\n",
		"io.prom": "bpfview_io 1\n"})
	for query, want := range map[string]string{
		"":                              "bpfview_cpu bpfview_io bpfview_psi",
		"?":                             "bpfview_cpu bpfview_io bpfview_psi",
		"?collect[]=psi&collect[]=io":   "bpfview_io bpfview_psi",
		"?collect%5B%5D=psi":            "bpfview_psi",
		"?exclude[]=cpu":                "bpfview_io bpfview_psi",
		"?exclude[]=nope&exclude[]=psi": "bpfview_cpu bpfview_io",
		"?collect[]=cpu&collect[]=cpu&": "bpfview_cpu",
		"?exclude[]=cpu&exclude[]=cpu":  "bpfview_io bpfview_psi",

		"?collect[]=nope":                `view "nope" has no metrics in this mount: bpfviewfs views shows why; here are cpu, io, psi`,
		"?collect[]=cpu&collect[]=nope":  `view "nope" has no metrics`,
		"?collect[]=../cpu":              `view "../cpu" has no metrics`,
		"?collect[]=%0a":                 `view "\n" has no metrics`,
		"?collect[]=cpu&exclude[]=io":    "give one of them",
		"?collect[]=":                    "collect[] names no view",
		"?collect[]":                     "collect[] names no view",
		"?exclude[]=cpu&exclude[]=":      "exclude[] names no view",
		"?collect[]=cpu&x=y":             `unknown parameter "x"`,
		"?collect=cpu":                   `unknown parameter "collect"`,
		"?=cpu":                          `unknown parameter ""`,
		"?collect[]=%zz":                 `the query "collect[]=%zz": invalid URL escape`,
		"?collect[]=cpu;exclude[]=io":    "invalid semicolon",
		"?" + strings.Repeat("x%0a", 99): "unknown parameter",
	} {
		w := get(e, query)
		if strings.HasPrefix(want, "bpfview_") {
			var found []string
			for _, name := range []string{"bpfview_cpu", "bpfview_io", "bpfview_psi"} {
				if strings.Contains(w.Body.String(), "\n"+name) ||
					strings.HasPrefix(w.Body.String(), name) {
					found = append(found, name)
				}
			}
			if got := strings.Join(found, " "); w.Code != http.StatusOK || got != want {
				t.Errorf("%s: %d, %s, want %s", query, w.Code, got, want)
			}
		} else if text := w.Body.String(); w.Code != http.StatusBadRequest ||
			!strings.Contains(text, want) || strings.Count(text, "\n") != 1 || len(text) > 200 {
			t.Errorf("%s: %d, %s, want %s", query, w.Code, w.Body, want)
		}
	}
}

// up is the exporter's word about itself.
func up(e *Exporter) string {
	w := httptest.NewRecorder()
	e.Own().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	_, after, _ := strings.Cut(w.Body.String(), "\nbpfview_exporter_up ")
	return after[:1]
}

// TestLog holds that each kind of scrape has a line when it begins to fail and one when that ends, whatever
// other scrapes do, and that a wrong scrape says nothing of the mount.
func TestLog(t *testing.T) {
	var logged []string
	logf := func(f string, a ...any) { logged = append(logged, fmt.Sprintf(f, a...)) }
	dir, e := newMount(t, Options{Logf: logf}, map[string]string{"cpu.prom": cpuPage})
	for range 3 {
		if w := get(e, ""); w.Code != http.StatusOK {
			t.Errorf("%d, %s", w.Code, w.Body)
		}
		if w := get(e, "?collect[]=new"); w.Code != http.StatusBadRequest || up(e) != "1" {
			t.Errorf("%d, %s, up is %s", w.Code, w.Body, up(e))
		}
	}
	if err := os.WriteFile(dir+"/.bpfview/textfile/new.prom", []byte("bpfview_new 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		get(e, "?collect[]=new")
	}
	const scrapes = "scrapes with ?collect[]=new "
	if len(logged) != 2 || !strings.HasPrefix(logged[0], scrapes+`fail: view "new" has no metrics`) ||
		logged[1] != scrapes+"are whole again" {
		t.Errorf("logged %q", logged)
	}
	for i := range 1000 { // of a client that asks for anything
		get(e, fmt.Sprintf("?collect[]=x%d", i))
	}
	if len(e.said) > maxSaid {
		t.Errorf("%d queries are kept", len(e.said))
	}
}

// TestNoAnswer holds that scrapes of a mount that hangs end in time, keep no place, and wait for one pass.
func TestNoAnswer(t *testing.T) {
	_, e := newMount(t, Options{MaxScrapes: 1}, map[string]string{"cpu.prom": cpuPage})
	hangs := &pass{done: make(chan struct{}), users: 1}
	e.current().pending[passKey{}] = hangs
	for range 3 {
		w := get(e, "", "X-Prometheus-Scrape-Timeout-Seconds", "0.05")
		if w.Code != http.StatusServiceUnavailable || up(e) != "0" ||
			!strings.Contains(w.Body.String(), "the mount does not answer: bpfviewfs status") {
			t.Fatalf("%d, %s, up is %s", w.Code, w.Body, up(e))
		}
	}
	if hangs.users != 1 {
		t.Errorf("%d scrapes still wait", hangs.users-1)
	}
	e.passes.mount-- // another mount has come
	if w := get(e, ""); w.Code != http.StatusOK || up(e) != "1" {
		t.Errorf("a new mount: %d, %s, up is %s", w.Code, w.Body, up(e))
	}
}

// A scrape is whole or an error, and the next one is right as soon as the mount is.
func TestRecovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mount")
	var logged []string
	e := New(Options{Mount: dir, Logf: func(f string, a ...any) {
		logged = append(logged, fmt.Sprintf(f, a...))
	}})
	up := func() string { return up(e) }
	w := get(e, "")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(),
		"nothing is mounted at "+dir+": systemctl start bpfviewfs") {
		t.Errorf("without a mount: %d, %s", w.Code, w.Body)
	}
	if len(logged) != 1 || up() != "0" {
		t.Errorf("up is %s, logged %q", up(), logged)
	}
	pages := dir + "/.bpfview/textfile"
	if err := os.MkdirAll(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"a.prom": cpuPage, "b.prom": "bpfview_b 1"} {
		if err := os.WriteFile(pages+"/"+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w = get(e, "")
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "bpfview_cpu") ||
		!strings.Contains(w.Body.String(), "b: ") {
		t.Errorf("with a page that is cut short: %d, %s", w.Code, w.Body)
	}
	if err := os.WriteFile(pages+"/b.prom", []byte("bpfview_b 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if w := get(e, ""); w.Code != http.StatusOK || up() != "1" {
			t.Errorf("with a mount: %d, %s, up is %s", w.Code, w.Body, up())
		}
	}
	if len(logged) != 3 || logged[2] != "scrapes are whole again" {
		t.Errorf("logged %q", logged)
	}
}

// TestTooLargeView holds that a view above max_series= is left out and named in the log, and that a scrape
// which asks for it is an error.
func TestTooLargeView(t *testing.T) {
	var logged []string
	logf := func(f string, a ...any) { logged = append(logged, fmt.Sprintf(f, a...)) }
	_, e := newMount(t, Options{Logf: logf}, map[string]string{"cpu.prom": cpuPage, "reclaim.prom": "bpfview_reclaim 1\n"})
	done := make(chan struct{})
	close(done)
	e.current().pending[passKey{"reclaim", form{}}] = &pass{done: done, err: e.explain(unix.EFBIG), users: 1}
	w := get(e, "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\nbpfview_cpu_running{") ||
		strings.Contains(w.Body.String(), "bpfview_reclaim") {
		t.Errorf("%d, %s", w.Code, w.Body)
	}
	if len(logged) == 0 || !strings.Contains(logged[0], "reclaim: ") ||
		!strings.Contains(logged[0], "max_series=") {
		t.Errorf("logged %q", logged)
	}
	w = get(e, "?collect[]=reclaim")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "reclaim: ") {
		t.Errorf("asked for: %d, %s", w.Code, w.Body)
	}
}

// TestStartWithoutMount holds that the log tells why scrapes will fail.
func TestStartWithoutMount(t *testing.T) {
	var logged []string
	dir := t.TempDir()
	s := &Server{Listen: []string{"127.0.0.1:0"}, Path: "/metrics", Options: Options{Mount: dir,
		Logf: func(f string, a ...any) { logged = append(logged, fmt.Sprintf(f, a...)) }}}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Serve(ctx, func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "scrapes fail: ") ||
		!strings.Contains(logged[0], "nothing is mounted at "+dir) {
		t.Errorf("logged %q", logged)
	}
}

func TestExplain(t *testing.T) {
	e := New(Options{Mount: "/m"})
	for errno, want := range map[unix.Errno]string{
		unix.ENOTCONN: "the mount at /m has died: systemctl restart bpfviewfs",
		unix.EACCES:   "mount with gid= of a group that this user is in",
		unix.ENOENT:   "nothing is mounted at /m",
		unix.EFBIG:    "mount with more",
		unix.EBUSY:    "scrape less often",

		unix.ETIMEDOUT: "leave it out with exclude[]",
		unix.EIO:       ".bpfview/errors in /m",
	} {
		err := e.explain(&os.PathError{Op: "open", Path: "/m/x", Err: errno})
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), errno.Error()) ||
			!errors.Is(err, errno) {
			t.Errorf("%v: %v, want %q", errno, err, want)
		}
	}
}

// pipe makes a page that is read when the test writes it.
func pipe(t *testing.T, dir string) (write func(text string)) {
	t.Helper()
	path := dir + "/.bpfview/textfile/slow.prom"
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return func(text string) {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(text)
			file.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// users is how many wait for the pass, and the pass.
func (p *passes) users() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pass := range p.pending {
		n += pass.users
	}
	return n
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// Many scrapers at once share one pass, and each gets all of it.
func TestOnePass(t *testing.T) {
	dir, e := newMount(t, Options{}, nil)
	write := pipe(t, dir)
	const scrapers = 32
	answers := make([]*httptest.ResponseRecorder, scrapers)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = get(e, "") })
	}
	eventually(t, "all of them wait", func() bool { return e.current().users() == scrapers+1 })
	text := "bpfview_slow 1\n" + strings.Repeat("# x\n", chunkSize)
	write(text)
	all.Wait()
	for _, w := range answers {
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), text) {
			t.Fatalf("%d, %d bytes", w.Code, w.Body.Len())
		}
	}
	if page := answers[0].Body.String(); !strings.Contains(page,
		"bpfview_exporter_passes_total{view=\"slow\"} 1\n") {
		t.Error("more passes than one")
	}
}

// A scrape that takes too long says so, keeps no place, and does not disturb the next one.
func TestSlow(t *testing.T) {
	dir, e := newMount(t, Options{MaxScrapes: 1}, nil)
	write := pipe(t, dir)
	for range 2 {
		w := get(e, "", "X-Prometheus-Scrape-Timeout-Seconds", "0.05")
		if w.Code != http.StatusServiceUnavailable ||
			!strings.Contains(w.Body.String(), "raise scrape_timeout") {
			t.Fatalf("%d, %s", w.Code, w.Body)
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		if w := get(e, ""); w.Code != http.StatusOK ||
			!strings.HasPrefix(w.Body.String(), "bpfview_slow 1\n") {
			t.Errorf("%d, %s", w.Code, w.Body)
		}
	})
	eventually(t, "it waits for the pass", func() bool { return e.current().users() == 2 })
	if w := get(e, ""); w.Code != http.StatusServiceUnavailable ||
		!strings.Contains(w.Body.String(), "1 scrapes are under way") {
		t.Errorf("one scrape too many: %d, %s", w.Code, w.Body)
	}
	write("bpfview_slow 1\n")
	all.Wait()
	for _, header := range []string{"x", "-1", "NaN", "0"} {
		if w := get(e, "", "X-Prometheus-Scrape-Timeout-Seconds", header); w.Code != http.StatusBadRequest {
			t.Errorf("a time-out of %s: %d, %s", header, w.Code, w.Body)
		}
	}
}

// TestClientThatDoesNotRead holds that a client gives its place to others when it takes too long to read.
func TestClientThatDoesNotRead(t *testing.T) {
	name := strings.Repeat("a", 4096)
	large := strings.Repeat("bpfview_large{cgroup=\"/"+name+"\"} 1\n", 4096) // sockets take some 10 MB
	_, e := newMount(t, Options{MaxScrapes: 1, Timeout: 2 * time.Second}, map[string]string{"large.prom": large})
	server := httptest.NewServer(e)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the client has the only place", func() bool { return len(e.slots) == 1 })
	eventually(t, "another client has the place", func() bool {
		r, err := http.Get(server.URL)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode == http.StatusOK
	})
}

func TestTimeout(t *testing.T) {
	e := New(Options{})
	for header, want := range map[string]time.Duration{
		"": 10 * time.Second, "10": 9750 * time.Millisecond, "0.3": 150 * time.Millisecond,
		"1e300": time.Hour - 250*time.Millisecond,
	} {
		if got, err := e.timeout(header); got != want || err != nil {
			t.Errorf("%q gives %v (%v), want %v", header, got, err, want)
		}
	}
}

func TestMethods(t *testing.T) {
	_, e := newMount(t, Options{}, map[string]string{"cpu.prom": cpuPage})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
}

// FuzzPage: whatever a page has, nothing but labels is added, and the page is cut nowhere.
func FuzzPage(f *testing.F) {
	f.Add([]byte(cpuPage), 7)
	f.Add([]byte("{cgroup=\"\\\n{cgroup=\"/x.slice\n#\n# \n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		for _, way := range []form{{}, {open: true}} {
			p, err := newPage(&stepReader{text, max(step, 1)}, way, new(paths))
			whole := len(text) == 0 || text[len(text)-1] == '\n'
			if (err == nil) != whole {
				t.Fatalf("%v for %q", err, text)
			}
			if err != nil {
				continue
			}
			var out bytes.Buffer
			_ = p.writeTo(&out)
			p.free()
			if out.Len() < len(text) && !way.open {
				t.Errorf("%q of %q", out.Bytes(), text)
			}
		}
	})
}

// stepReader gives a few bytes at a time.
type stepReader struct {
	left []byte
	step int
}

func (s *stepReader) Read(b []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.left)
	s.left = s.left[n:]
	return n, nil
}
