package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serverVariable, in the environment, makes this program the server.
const serverVariable = "APIG_BENCH_SERVER"

// serve answers on loopback until its standard input ends, as it does when the
// process that started it is gone. It prints its URL, and then, for each line that it
// reads, how many connections it has accepted.
func serve(stdin io.Reader, stdout, stderr io.Writer) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(stderr, "bench server:", err)
		return 1
	}
	counting := &countingListener{Listener: listener}
	server := &http.Server{Handler: http.HandlerFunc(answer), IdleTimeout: 5 * time.Second}
	go server.Serve(counting) // ends with the process
	fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		fmt.Fprintln(stdout, counting.accepted.Load())
	}
	return 0
}

type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// answer says that everything was published.
func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection is gone
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", requestID)
	if !strings.HasSuffix(r.URL.Path, "/apis/publish") {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, recordOf(string(apiIDIn(body))))
		return
	}
	ids, err := apiIDsIn(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, batchOf(ids))
}

// server is a server in a process of its own.
type server struct {
	url   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startServer(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	if s.url, err = s.line(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// accepted is how many connections the server has accepted so far.
func (s *server) accepted() (int, error) {
	if _, err := io.WriteString(s.stdin, "\n"); err != nil {
		return 0, err
	}
	line, err := s.line()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(line)
}

func (s *server) line() (string, error) {
	if s.lines.Scan() {
		return s.lines.Text(), nil
	}
	return "", fmt.Errorf("the server has ended: %w", cmp.Or(s.lines.Err(), io.ErrUnexpectedEOF))
}

func (s *server) stop() error {
	s.stdin.Close()
	return s.cmd.Wait()
}
