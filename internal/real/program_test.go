package real

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for a step that takes at most three seconds on
// an idle machine.
const patience = 3 * time.Minute

// TestMain lets more tests run at once than there are processors: they wait rather
// than work. Debian's python3 comes first, because its packages are for that one.
func TestMain(m *testing.M) {
	flag.Parse()
	err := errors.Join(flag.Set("test.parallel", "16"),
		os.Setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin:"+os.Getenv("PATH")))
	if err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// software is a program with the Debian packages that it comes from.
type software struct {
	check    string // a shell command that succeeds if the program is installed
	packages []string
}

var (
	nginxPackage   = software{"command -v nginx", []string{"nginx"}}
	haproxyPackage = software{"command -v haproxy", []string{"haproxy"}}
	curl           = software{"command -v curl", []string{"curl"}}
	keystoneauth   = software{"/usr/bin/python3 -c 'import keystoneauth1'", []string{"python3-keystoneauth1"}}
	keystone       = software{
		"command -v keystone-manage && command -v uwsgi_python3",
		[]string{"python3-keystone", "uwsgi-core", "uwsgi-plugin-python3"},
	}
)

// installing is held while apt-get runs. apt-get does not wait for another one.
var installing sync.Mutex

// need installs a program that is missing.
func need(t *testing.T, s software) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if exec.Command("sh", "-c", s.check).Run() == nil {
		return
	}
	output, err := install(s.packages)
	if err != nil && os.Getenv("CI_PARTIAL") == "1" {
		t.Skipf("CI_PARTIAL=1, and no %v: %v", s.packages, err)
	}
	require.NoError(t, err, "%s", output)
	require.NoError(t, exec.Command("sh", "-c", s.check).Run(), "%s", s.check)
}

func install(packages []string) ([]byte, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("to install packages requires root")
	}
	// The packages would start their servers, unless this script forbids it.
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err == nil {
		defer os.Remove(policy)
		_, err = io.WriteString(f, "#!/bin/sh\nexit 101\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	script := "apt-get update -qq && apt-get install -y -qq --no-install-recommends " + strings.Join(packages, " ")
	c := exec.Command("sh", "-c", script)
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return c.CombinedOutput()
}

// program is a program that runs in a directory of its own, with the files that it
// reads and writes.
type program struct {
	t       *testing.T
	dir     string
	process *exec.Cmd
	hold    io.Closer // the program runs until this is closed
	ended   chan struct{}
}

// newProgram makes the directory. The directories of the testing package have names
// that are too long for HAProxy's socket. If the test fails, all files *.log are printed.
func newProgram(t *testing.T, s software) *program {
	t.Helper()
	need(t, s)
	dir, err := os.MkdirTemp("", "apig")
	require.NoError(t, err)
	p := &program{t: t, dir: dir}
	t.Cleanup(func() {
		p.stop()
		logs, _ := filepath.Glob(dir + "/*.log") // the pattern is valid
		for _, log := range logs {
			if text := p.read(filepath.Base(log)); t.Failed() {
				t.Logf("%s ends with:\n%s", log, text[max(0, len(text)-4<<10):])
			}
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return p
}

// held runs a command. When its standard input ends, and it does so however the
// tests end, it sends the command a signal.
const held = `signal=$1; shift
exec 3<&0
{ cat <&3; kill -"$signal" $$; } >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-`

// start starts the program, and waits until ready. Its output goes to out.log.
// The signal makes it finish its work and end.
func (p *program) start(ready func() bool, signal string, command ...string) {
	p.t.Helper()
	out, err := os.Create(filepath.Join(p.dir, "out.log"))
	require.NoError(p.t, err)
	defer out.Close()
	p.process = exec.Command("sh", append([]string{"-c", held, "sh", signal}, command...)...)
	p.process.Dir, p.process.Stdout, p.process.Stderr = p.dir, out, out
	hold, err := p.process.StdinPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.process.Start())
	p.hold, p.ended = hold, make(chan struct{})
	go func() {
		defer close(p.ended)
		_ = p.process.Wait() // its log says how it ended
	}()
	await(p.t, command[0]+" to start", func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %s", command[0], p.read("out.log"))
		default:
		}
		return ready()
	})
}

// stop ends the program. Its logs are complete when stop returns.
func (p *program) stop() {
	if p.hold != nil {
		p.hold.Close()
		<-p.ended
	}
}

func (p *program) write(name, content string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600))
}

// read returns a file, or nothing if there is none yet.
func (p *program) read(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(p.t, err)
	}
	return string(text)
}

// await polls until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

var addresses atomic.Uint32

// freeAddress returns a free port of an IP address that no other program gets, so
// that the port stays free.
func freeAddress(t *testing.T) string {
	t.Helper()
	n := addresses.Add(1)
	l, err := net.Listen("tcp", fmt.Sprintf("127.1.%d.%d:0", n>>8, n&0xff))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// newCertificate makes a certificate for the host of an address. It is its own
// authority. The PEM file has the key, too.
func newCertificate(t *testing.T, address string) (file string, roots *x509.CertPool) {
	t.Helper()
	host, _, err := net.SplitHostPort(address)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(host)},
	}
	der, err := x509.CreateCertificate(rand.Reader, draft, draft, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return string(certificate) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), roots
}
