#!/bin/bash
# Guess:     RFC 1952 lets a gzip file have several members, one after the other, and gzip, zcat and Go's
#            reader give the text of all. So an HTTP answer may be compressed in parts that are cached apart,
#            and every client that asks for gzip reads the whole.
# Behaviour: curl --compressed writes the text of the first member and then fails with status 23, with a
#            Content-Length and without. wget --compression=gzip writes the text of the first member, and its
#            status is 0 without a word. Node.js and Go read all. So a page of metrics that a Prometheus
#            server scrapes well is short, or empty of one view, for a script.
# Versions:  curl 7.88.1, wget 1.21.3, Node.js 20, Go 1.26. Needs python3 for the server, and these.
# Seen:      zcat: a 1, b 2
#            curl --compressed: status 23: a 1
#            wget --compression=gzip: status 0: a 1
#            Node.js fetch: a 1, b 2
#            Go net/http: a 1, b 2
set -euo pipefail
work=$(mktemp -d) server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
cat >server.py <<'END'
import gzip, http.server

page = gzip.compress(b"a 1\n") + gzip.compress(b"b 2\n")
open("page.gz", "wb").write(page)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
END
mkfifo pipe
python3 server.py >pipe &
server=$!
read -r port <pipe
url=http://127.0.0.1:$port/
cat >get.go <<'END'
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}
END

lines() { paste -sd, | sed 's/,/, /g'; }

{
	echo "zcat: $(zcat page.gz | lines)"
	status=0
	curl -s --compressed "$url" >text || status=$?
	echo "curl --compressed: status $status: $(lines <text)"
	status=0
	wget -q --compression=gzip -O text "$url" || status=$?
	echo "wget --compression=gzip: status $status: $(lines <text)"
	echo "Node.js fetch: $(node -e 'fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))' "$url" | lines)"
	echo "Go net/http: $(go run get.go "$url" | lines)"
} | tee seen

diff - seen <<'END'
zcat: a 1, b 2
curl --compressed: status 23: a 1
wget --compression=gzip: status 0: a 1
Node.js fetch: a 1, b 2
Go net/http: a 1, b 2
END
