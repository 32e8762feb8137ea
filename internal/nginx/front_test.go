package nginx

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something that takes milliseconds on
// an idle machine.
const patience = 30 * time.Second

//go:embed nginx.conf
var conf string

// install puts nginx on this machine, if it is not there.
var install = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("./nginx.sh", "install").CombinedOutput()
})

// need fails the test if nginx cannot be had, or skips it where that is allowed.
func need(t *testing.T) {
	t.Helper()
	output, err := install()
	if err == nil {
		return
	}
	const unavailable = 69 // nginx.sh says
	var exit *exec.ExitError
	if os.Getenv("CI_PARTIAL") == "1" && errors.As(err, &exit) && exit.ExitCode() == unavailable {
		t.Skipf("CI_PARTIAL=1 and no nginx: %s", output)
	}
	t.Fatalf("no nginx: %v: %s", err, output)
}

// front is a running nginx.
type front struct {
	t       *testing.T
	dir     string // of its configuration and its logs
	address string
	roots   *x509.CertPool

	process *exec.Cmd
	output  bytes.Buffer // before it has read its configuration
	hold    io.Closer    // it runs until this is closed
	ended   chan struct{}
}

// startFront starts nginx in front of the gateway at an address, with more
// directives for its server. It ends with the test.
func startFront(t *testing.T, gateway, server string) *front {
	t.Helper()
	need(t)
	f := &front{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nginx answered (status, method, connection):\n%s", f.read("access.log"))
			t.Logf("nginx says:\n%s", f.read("error.log"))
		}
	})
	pem, roots := newCertificate(t)
	f.write("front.pem", pem)
	f.roots = roots
	// Between finding a free port and listening on it, somebody else may take
	// it.
	for range 3 {
		f.address = freeAddress(t)
		var text bytes.Buffer
		require.NoError(t, template.Must(template.New("").Parse(conf)).Execute(&text,
			struct{ Address, Gateway, Server string }{f.address, gateway, server}))
		f.write("nginx.conf", text.Bytes())
		if f.run() {
			t.Cleanup(f.stop)
			return f
		}
		f.stop()
	}
	t.Fatalf("nginx does not start: %s", &f.output)
	return nil
}

// run starts nginx and reports whether it has come up.
func (f *front) run() bool {
	f.process = exec.Command("./nginx.sh", "run", f.dir)
	f.process.Stderr = &f.output
	hold, err := f.process.StdinPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, f.process.Start())
	f.hold, f.ended = hold, make(chan struct{})
	go func() {
		defer close(f.ended)
		_ = f.process.Wait() // its log says how it ended
	}()
	// That it listens is not enough: it loses a signal that comes earlier.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if strings.Contains(f.read("error.log"), "start worker process ") {
			return true
		}
		select {
		case <-f.ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

// stop ends nginx. Its logs are complete then.
func (f *front) stop() {
	f.hold.Close()
	<-f.ended
}

// reload makes nginx start a new worker; the old one finishes what it is at and
// closes the connections that are idle.
func (f *front) reload() {
	f.t.Helper()
	ended := func() int { return strings.Count(f.read("error.log"), "exited with code 0") }
	before := ended()
	require.NoError(f.t, f.process.Process.Signal(syscall.SIGHUP))
	await(f.t, "the end of the old worker", func() bool { return ended() > before })
}

func (f *front) write(name string, content []byte) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, name), content, 0o600))
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

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// newCertificate makes a certificate for 127.0.0.1 that is its own authority.
// The PEM file holds its key too.
func newCertificate(t *testing.T) (file []byte, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, draft, draft, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)

	file = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(file)
	return append(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), roots
}
