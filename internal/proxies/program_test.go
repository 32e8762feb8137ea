package proxies

import (
	"bytes"
	_ "embed"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something that takes milliseconds on
// an idle machine.
const patience = 30 * time.Second

// install puts the proxies on this machine, where they are missing.
var install = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("./proxies.sh", "install").CombinedOutput()
})

// need fails the test if the proxies cannot be had, or skips it where that is
// allowed.
func need(t *testing.T) {
	t.Helper()
	output, err := install()
	if err == nil {
		return
	}
	const unavailable = 69 // proxies.sh says
	var exit *exec.ExitError
	if os.Getenv("CI_PARTIAL") == "1" && errors.As(err, &exit) && exit.ExitCode() == unavailable {
		t.Skipf("CI_PARTIAL=1 and no proxies: %s", output)
	}
	t.Fatalf("no HAProxy or no squid: %v: %s", err, output)
}

// program is a proxy that runs in a directory of its own.
type program struct {
	t    *testing.T
	name string // haproxy or squid
	dir  string // of its configuration and its logs
	logs []string

	process *exec.Cmd
	hold    io.Closer // it runs until this is closed
	ended   chan struct{}
}

// newProgram makes the directory. The directories that testing makes have
// names too long for HAProxy's socket.
func newProgram(t *testing.T, name string, logs ...string) *program {
	t.Helper()
	need(t)
	dir, err := os.MkdirTemp("", name)
	require.NoError(t, err)
	p := &program{t: t, name: name, dir: dir, logs: logs}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			for _, log := range logs {
				t.Logf("%s:\n%s", log, p.read(log))
			}
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return p
}

// configure fills in its configuration.
func (p *program) configure(text string, values any) {
	p.t.Helper()
	var filled bytes.Buffer
	require.NoError(p.t, template.Must(template.New("").Parse(text)).Execute(&filled, values))
	p.write(p.name+".conf", filled.Bytes())
}

// start starts it and reports whether it has come up, which ready says. One that
// has not is ended.
func (p *program) start(ready func() bool) bool {
	p.t.Helper()
	p.process = exec.Command("./proxies.sh", "run", p.dir, p.name)
	hold, err := p.process.StdinPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.process.Start())
	p.hold, p.ended = hold, make(chan struct{})
	go func() {
		defer close(p.ended)
		_ = p.process.Wait() // its log says how it ended
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ready() {
			return true
		}
		select {
		case <-p.ended:
			p.stop()
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.stop()
	return false
}

// stop ends it. Its logs are complete then.
func (p *program) stop() {
	if p.process == nil {
		return
	}
	p.hold.Close()
	<-p.ended
}

// kill ends it at once, as a crash does. Nobody is left then to be told to end:
// the next process with its number may be anyone's.
func (p *program) kill() {
	p.t.Helper()
	require.NoError(p.t, p.process.Process.Kill())
	p.stop()
}

func (p *program) write(name string, content []byte) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), content, 0o644))
}

func (p *program) read(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(p.t, err)
	}
	return string(text)
}

// written is all that its logs say.
func (p *program) written() string {
	var all strings.Builder
	for _, log := range p.logs {
		all.WriteString(p.read(log))
	}
	return all.String()
}

// await polls until something is the case.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// loopback is where the proxies listen. Nothing else does, so that an address
// stays free when a proxy has gone from it.
const loopback = "127.0.0.2"

// given are the addresses that freeAddress has found.
var given sync.Map

// freeAddress finds an address where nobody listens, another one each time: a
// proxy that was killed comes back to the one it had.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", loopback+":0")
		require.NoError(t, err)
		address := l.Addr().String()
		require.NoError(t, l.Close())
		if _, found := given.LoadOrStore(address, true); !found {
			return address
		}
	}
}
