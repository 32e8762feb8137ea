package proxies

import (
	_ "embed"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

//go:embed haproxy.conf
var haproxyConf string

// balancer is a running HAProxy in front of a gateway.
type balancer struct {
	*program
	*stage
	t      *testing.T
	before int // requests in its log before the call under test
}

// directives are added to HAProxy's configuration, a line each.
type directives struct{ frontend, backend string }

// startBalancer starts a gateway and HAProxy in front of it. Both end with the
// test.
func startBalancer(t *testing.T, proto protocol, d directives) *balancer {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	b := &balancer{
		program: newProgram(t, "haproxy", "haproxy.out"),
		stage:   &stage{t: t, gateway: g, proto: proto},
		t:       t,
	}
	certificate, key, roots := newCertificate(t, "localhost")
	b.roots = roots
	b.write("front.pem", append(certificate, key...))
	b.write("dropped", nil)
	_, gateway, _ := strings.Cut(g.URL(), "://")
	// Between finding a free port and listening on it, somebody else may take
	// it.
	for range 3 {
		address := freeAddress(t)
		b.endpoint = "https://" + address
		b.configure(haproxyConf, struct{ Address, Gateway, Frontend, Backend string }{
			address, gateway, d.frontend, d.backend})
		if b.start(func() bool { _, err := b.ask("show version"); return err == nil }) {
			return b
		}
	}
	t.Fatalf("HAProxy does not start: %s", b.read("haproxy.out"))
	return nil
}

func (b *balancer) ask(command string) (answer string, err error) {
	c, err := net.Dial("unix", filepath.Join(b.dir, "control"))
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

// tell gives HAProxy a command, to which it has nothing to say.
func (b *balancer) tell(command string) {
	answer, err := b.ask(command)
	assert.NoError(b.t, err)
	assert.Empty(b.t, answer, "%s", command)
}

// handled is one request in HAProxy's own words.
type handled struct {
	answer string // its status, or -1, and how it ended: who and in which phase; -- is well
	method string
	proto  protocol
}

var logged = regexp.MustCompile(` (-1|\d{3}) \d+ - - (..)-- \S+ \S+ "(\S+) \S+ (\S+)"$`)

// requests are those in its log up to now. HAProxy writes a line after the
// answer.
func (b *balancer) requests() []handled {
	var all []handled
	for line := range strings.Lines(b.read("haproxy.out")) {
		if m := logged.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			all = append(all, handled{m[1] + " " + m[2], m[3], protocol(m[4])})
		}
	}
	return all
}

// answers are those to the requests that were to change something, since
// publish.
func (b *balancer) answers() []string {
	b.t.Helper()
	answers := []string{}
	for _, r := range b.requests()[b.before:] {
		assert.Equal(b.t, b.proto, r.proto)
		if r.method == "POST" {
			answers = append(answers, r.answer)
		}
	}
	return answers
}

// publish is that of the stage. HAProxy has logged it when it returns.
func (b *balancer) publish(client *apig.Client) apig.ActionRequest {
	b.t.Helper()
	req := b.stage.publish(client)
	await(b.t, "HAProxy's log", func() bool { return len(b.requests()) == 1 })
	b.before = 1
	return req
}

// finish ends all after the one call under test, fails unless HAProxy has
// answered like that and the gateway has got that many requests to change
// something, and judges the call by the journal.
func (b *balancer) finish(answers []string, received int, err error) {
	b.t.Helper()
	b.hangUp()
	b.stop()
	b.gateway.Close() // what it has received is done then
	require.Equal(b.t, answers, b.answers(), "HAProxy's answers")
	assert.Equal(b.t, received, b.received()-b.made, "requests")
	b.judge()
	b.judgeError(err)
	assert.NotContains(b.t, b.written(), b.gateway.Token())
}
