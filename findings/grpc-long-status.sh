#!/bin/bash
# Guess:     a gRPC status reaches every client with its code. A message that is too long for one, for
#            example with the log of a compiler in it, is cut or left out at most.
# Behaviour: the message travels as a header. Clients on gRPC's C core, as that of Python, take 8 KiB of
#            headers, and the code is lost with the rest. INVALID_ARGUMENT becomes INTERNAL, "Received
#            RST_STREAM with error code 2", without a word of the message. A server in Go sends any length,
#            and a client in Go gets all of it, so tests in Go do not find that.
# Versions:  google.golang.org/grpc v1.85.0 (Go 1.26); Debian 12: python3-grpcio 1.51.1-3+b1. Needs go, apt
#            and Debian's /usr/bin/python3 (3.11).
# Seen:      Go, 8000: InvalidArgument, 8000 bytes
#            Go, 9000: InvalidArgument, 9000 bytes
#            Python, 8000: INVALID_ARGUMENT, 8000 bytes
#            Python, 9000: INTERNAL, 37 bytes
set -euo pipefail
work=$(mktemp -d) server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download python3-grpcio=1.51.1-3+b1 libgrpc29=1.51.1-3+b1 libabsl20220623 libc-ares2 libre2-9 \
	python3-six 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	server := grpc.NewServer()
	service := grpc.ServiceDesc{ServiceName: "example", HandlerType: (*any)(nil)}
	for _, length := range []int{8000, 9000} {
		service.Methods = append(service.Methods, grpc.MethodDesc{
			MethodName: fmt.Sprint(length),
			Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				return nil, status.Error(codes.InvalidArgument, strings.Repeat("x", length))
			},
		})
	}
	server.RegisterService(&service, nil)
	listener, err := net.Listen("unix", "socket")
	check(err)
	go server.Serve(listener)

	client, err := grpc.NewClient("unix:socket", grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	for _, method := range service.Methods {
		err := client.Invoke(context.Background(), "/example/"+method.MethodName, &emptypb.Empty{}, &emptypb.Empty{})
		got := status.Convert(err)
		fmt.Printf("Go, %s: %v, %d bytes\n", method.MethodName, got.Code(), len(got.Message()))
	}
	check(os.WriteFile("ready", nil, 0o600))
	select {}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
END
{ go mod init long && go get google.golang.org/grpc@v1.85.0 && go mod tidy && go build; } >log 2>&1
./long >seen &
server=$!
until [ -e ready ]; do sleep 0.1; done

cat >client.py <<'END'
import grpc

channel = grpc.insecure_channel("unix:socket")
for length in "8000", "9000":
    try:
        channel.unary_unary(f"/example/{length}")(b"", timeout=60)
    except grpc.RpcError as error:
        print(f"Python, {length}: {error.code().name}, {len(error.details())} bytes")
END
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) PYTHONPATH=root/usr/lib/python3/dist-packages \
	/usr/bin/python3 client.py >>seen
cat seen

diff - seen <<'END'
Go, 8000: InvalidArgument, 8000 bytes
Go, 9000: InvalidArgument, 9000 bytes
Python, 8000: INVALID_ARGUMENT, 8000 bytes
Python, 9000: INTERNAL, 37 bytes
END
