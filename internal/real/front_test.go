package real

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	_ "embed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// kind is a load balancer.
type kind struct {
	name   string
	needs  software
	logged *regexp.Regexp // a request in its log: method and status
	start  func(*front, directives)
}

// directives are lines that are added to a configuration.
type directives struct{ Front, Backend string }

var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.conf
	haproxyConf string

	nginx   = kind{"nginx", nginxPackage, regexp.MustCompile(`(?m)^(\S+) (\d{3}) `), startNginx}
	haproxy = kind{"HAProxy", haproxyPackage, regexp.MustCompile(`(?m)"(\S+) \S+ \S+" (-1|\d{3})$`), startHAProxy}
	both    = []kind{nginx, haproxy}
)

// protocol is spoken between client and load balancer.
type protocol string

const (
	http1 protocol = "HTTP/1.1"
	http2 protocol = "HTTP/2"
)

// front is a load balancer in front of a gateway.
type front struct {
	*program
	kind    kind
	gateway *gateway.Gateway
	proto   protocol
	address string
	roots   *x509.CertPool

	transports []*http.Transport
	made, sent int // changes in the journal and POSTs in the log before the call under test
}

// startFront starts a gateway and a load balancer. Both end with the test.
func startFront(t *testing.T, k kind, proto protocol, d directives) *front {
	t.Helper()
	f := &front{program: newProgram(t, k.needs), kind: k, gateway: gateway.NewGateway(), proto: proto, address: freeAddress(t)}
	t.Cleanup(f.gateway.Close)
	var certificate string
	certificate, f.roots = newCertificate(t, f.address)
	f.write("front.pem", certificate)
	k.start(f, d)
	return f
}

func startNginx(f *front, d directives) {
	f.configure("front.conf", nginxConf, d)
	// nginx loses a signal that comes before it has started its worker.
	f.start(func() bool { return strings.Contains(f.read("error.log"), "start worker process ") },
		"QUIT", "nginx", "-p", f.dir, "-c", f.dir+"/front.conf", "-e", "stderr")
}

func startHAProxy(f *front, d directives) {
	f.write("dropped", "")
	f.configure("front.conf", haproxyConf, d)
	f.start(func() bool { _, err := f.ask("show version"); return err == nil }, "USR1", "haproxy", "-db", "-f", "front.conf")
}

func (f *front) configure(file, text string, d directives) {
	f.t.Helper()
	var filled strings.Builder
	_, gateway, _ := strings.Cut(f.gateway.URL(), "://")
	require.NoError(f.t, template.Must(template.New("").Parse(text)).Execute(&filled, struct {
		directives
		Address, Gateway string
	}{d, f.address, gateway}))
	f.write(file, filled.String())
}

// ask gives HAProxy a command.
func (f *front) ask(command string) (answer string, err error) {
	c, err := net.Dial("unix", filepath.Join(f.dir, "control"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return strings.TrimSpace(string(text)), err
}

// tell gives HAProxy a command that has no answer, unless it is empty.
func (f *front) tell(command string) {
	f.t.Helper()
	if command == "" {
		return
	}
	answer, err := f.ask(command)
	require.NoError(f.t, err)
	require.Empty(f.t, answer, "%s", command)
}

// answers are the statuses that the load balancer has logged for POSTs, without those
// before the call under test. A line is written after the answer. HAProxy writes -1
// where it gave none.
func (f *front) answers() []string {
	answers := []string{}
	for _, m := range f.kind.logged.FindAllStringSubmatch(f.read("access.log")+f.read("out.log"), -1) {
		if m[1] == "POST" {
			answers = append(answers, m[2])
		}
	}
	return answers[min(f.sent, len(answers)):]
}

// client makes a client with connections of its own and short waits.
func (f *front) client(tune func(*apig.Config)) *apig.Client {
	f.t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(f.proto == http1)
	tr.Protocols.SetHTTP2(f.proto == http2)
	f.transports = append(f.transports, tr)
	cfg := apig.Config{
		Endpoint:   "https://" + f.address,
		ProjectID:  f.gateway.ProjectID(),
		InstanceID: f.gateway.InstanceID(),
		Auth:       apig.StaticToken(f.gateway.Token()),
		HTTPClient: &http.Client{Transport: tr},
		Retry: apig.RetryPolicy{
			MinWait:    10 * time.Millisecond,
			MaxWait:    3 * time.Second,
			SettleWait: 2 * time.Second,
		},
	}
	if tune != nil {
		tune(&cfg)
	}
	c, err := apig.New(cfg)
	require.NoError(f.t, err)
	return c
}

// publish publishes an API in the environment RELEASE.
func publish(c *apig.Client, apiID, remark string) (*apig.PublishRecord, error) {
	return c.Publish(context.Background(), apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark})
}

// throughEach runs a test with each of the load balancers and each protocol.
func throughEach(t *testing.T, kinds []kind, test func(*testing.T, kind, protocol)) {
	t.Parallel()
	for _, k := range kinds {
		for _, proto := range []protocol{http1, http2} {
			t.Run(k.name+" "+string(proto), func(t *testing.T) {
				t.Parallel()
				test(t, k, proto)
			})
		}
	}
}

// published makes an API and has the client publish it, so that the call under test
// meets connections that were used before.
func (f *front) published(client *apig.Client) (apiID string) {
	f.t.Helper()
	apiID = f.gateway.AddAPI("orders")
	_, err := publish(client, apiID, "1.4.1")
	require.NoError(f.t, err)
	await(f.t, "the log of a publish", func() bool { return len(f.answers()) == 1 })
	f.made, f.sent = 1, 1
	return apiID
}

// finish ends all programs after the one publish under test. It fails unless the report
// of the client is true and none of the secrets is in it or in a log. All logs are
// complete then.
func (f *front) finish(rec *apig.PublishRecord, err error) {
	f.t.Helper()
	for _, tr := range f.transports {
		tr.CloseIdleConnections()
	}
	f.stop()
	f.gateway.Close() // the requests that it has received are done then
	judge(f.t, f.gateway.Journal()[f.made:], rec, err)
	assert.NotContains(f.t, f.read("access.log")+f.read("error.log")+f.read("out.log"), f.gateway.Token())
	if err != nil {
		assert.NotContains(f.t, err.Error(), "<", "HTML of the load balancer")
		assert.NotContains(f.t, err.Error(), f.gateway.Token())
		assert.Less(f.t, len(err.Error()), 1000)
	}
}

// judge compares the report of a publish with the changes that it made.
func judge(t *testing.T, made []gateway.Applied, rec *apig.PublishRecord, err error) {
	t.Helper()
	require.LessOrEqual(t, len(made), 1, "applied more than once: %v", made)
	switch apig.OutcomeOf(err) {
	case apig.NotApplied:
		require.Empty(t, made, "reported as not applied: %v", err)
	case apig.Applied:
		require.Len(t, made, 1, "reported as applied")
		require.Equal(t, []string{made[0].APIID, made[0].VersionID}, []string{rec.APIID, rec.VersionID})
	}
}
