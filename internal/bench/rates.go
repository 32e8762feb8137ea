package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// measureRates compares the calls a second over loopback sockets, with the server in a
// process of its own.
func measureRates(ctx context.Context, timed bool, t *table) error {
	if !timed {
		return nil
	}
	address, stop, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	random := rand.New(rand.NewPCG(1, 2))
	for _, load := range []struct {
		row      string
		parallel int
		oneAPI   bool
	}{{row64, 64, false}, {row8, 8, true}} {
		var ratios [columns][]float64
		for range 9 {
			var rates [columns]float64
			for _, column := range random.Perm(columns) {
				// The clients have an https address, and the server speaks plain HTTP.
				transport := &http.Transport{MaxIdleConnsPerHost: 100, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", address)
				}}
				client, err := connect[column](transport, token(60))
				if err != nil {
					return err
				}
				for _, slice := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} { // the first opens the connections
					if rates[column], err = rate(ctx, client, load.parallel, load.oneAPI, slice); err != nil {
						return fmt.Errorf("%s, %s: %w", load.row, columnNames[column], err)
					}
				}
				transport.CloseIdleConnections()
			}
			for column, r := range rates {
				ratios[column] = append(ratios[column], r/rates[byHand])
			}
		}
		for column, r := range ratios {
			t.set(load.row, column, quantile(r, 0.5), fmt.Sprintf("%.2f (%.2f–%.2f)", quantile(r, 0.5), quantile(r, 0.25), quantile(r, 0.75)))
		}
	}
	return nil
}

// rate is how many calls a second so many goroutines make.
func rate(ctx context.Context, client publisher, parallel int, oneAPI bool, slice time.Duration) (float64, error) {
	calls, failures := make([]int, parallel), make([]error, parallel)
	var all sync.WaitGroup
	begin := time.Now()
	for i := range parallel {
		all.Go(func() {
			id := distinctID(i)
			if oneAPI {
				id = apiID
			}
			for time.Since(begin) < slice && failures[i] == nil {
				failures[i] = client.one(ctx, id)
				calls[i]++
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range calls {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds(), errors.Join(failures...)
}

// serverVariable, in the environment, makes this program the server.
const serverVariable = "APIG_BENCH_SERVER"

// startServer starts this program as a server, until stop is called.
func startServer(ctx context.Context) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), serverVariable+"=1"), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { stdin.Close(); cmd.Wait() }
	if address, err = bufio.NewReader(stdout).ReadString('\n'); err != nil {
		stop()
	}
	return strings.TrimSpace(address), stop, err
}

// serve answers publications on loopback until its standard input ends, as it does when
// the process that started it is gone. It prints its address.
func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the connection is gone
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, recordOf(string(apiIDIn(body))))
	})}
	go server.Serve(listener) // ends with the process
	fmt.Println(listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
