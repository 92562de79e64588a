#!/bin/bash
# Guess:     a gRPC handler that wraps an error of a call of its own with %w and returns it answers
#            Unknown, as it does for any error that is no status: the other service's code is about the
#            other service's request.
# Behaviour: a status anywhere in the chain becomes the answer's. The caller of the first service gets
#            NotFound for a thing that it never asked for, with the whole text; a client that retries or
#            takes NotFound for "done" (as callers of idempotent deletions do) acts on it. %v in place of
#            %w gives Unknown.
# Versions:  google.golang.org/grpc v1.76.0 (Go 1.26). Needs go.
# Seen:      wrapped: NotFound: look up the owner: rpc error: code = NotFound desc = no such user
#            printed: Unknown: look up the owner: rpc error: code = NotFound desc = no such user
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'SOURCE'
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

type service struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (service) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	other := status.Error(codes.NotFound, "no such user") // as a client of another service gets it
	if r.Service == "wrapped" {
		return nil, fmt.Errorf("look up the owner: %w", other)
	}
	return nil, fmt.Errorf("look up the owner: %v", other)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service{})
	go server.Serve(listener)
	client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	for _, kind := range []string{"wrapped", "printed"} {
		_, err := grpc_health_v1.NewHealthClient(client).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{Service: kind})
		fmt.Printf("%s: %v: %s\n", kind, status.Code(err), status.Convert(err).Message())
	}
}
SOURCE
{ go mod init answer && go get google.golang.org/grpc@v1.76.0 && go mod tidy && go build; } >log 2>&1 || { cat log; exit 1; }
timeout 20 ./answer | tee seen
grep -q '^wrapped: NotFound: look up the owner' seen && grep -q '^printed: Unknown: look up the owner' seen
