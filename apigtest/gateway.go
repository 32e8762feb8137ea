package apigtest

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/apig-go/apig/internal/gateway"
)

// Gateway is a fake API Gateway with its IAM, listening on loopback or in
// memory. It has one project and one instance with the environment RELEASE; see
// [Gateway.AddInstance] for more. All methods may be called from several goroutines
// at once.
type Gateway struct {
	gw *gateway.Gateway
	in *gateway.Instance
}

// Option changes how a gateway is set up.
type Option struct{ option gateway.Option }

// WithTLS serves https, HTTP/1.1 and HTTP/2, with a certificate for 127.0.0.1,
// ::1 and localhost. [Gateway.Transport] trusts it.
func WithTLS() Option { return Option{gateway.WithTLS()} }

// WithoutNetwork listens in memory: only [Gateway.Transport] reaches the gateway.
// All the rest is the same, faults and TLS included. Such a gateway works inside a
// bubble of [testing/synctest], where every wait takes virtual time; start and
// close it inside the bubble. With Go 1.25 its transport speaks HTTP/1.1 over TLS,
// because HTTP/2 of that release panics when bubbles and other goroutines share a
// process.
func WithoutNetwork() Option { return Option{gateway.WithoutNetwork()} }

// WithSeed makes the generated IDs the same in every run, if the things are
// created in the same order.
func WithSeed(seed uint64) Option { return Option{gateway.WithSeed(seed)} }

// WithIDs sets the IDs of the project and of the instance. An empty one is
// generated.
func WithIDs(projectID, instanceID string) Option {
	return Option{gateway.WithIDs(projectID, instanceID)}
}

// Start starts a gateway without APIs. It fails on a machine without loopback.
func Start(opts ...Option) (*Gateway, error) {
	var inner []gateway.Option
	for _, opt := range opts {
		inner = append(inner, opt.option)
	}
	gw, err := gateway.Start(inner...)
	if err != nil {
		return nil, fmt.Errorf("apigtest: %w", err)
	}
	return &Gateway{gw, gw.Instance}, nil
}

// NewGateway is [Start] for tests: it panics where Start returns an error, as
// [net/http/httptest.NewServer] does.
func NewGateway(opts ...Option) *Gateway {
	g, err := Start(opts...)
	if err != nil {
		panic(err.Error())
	}
	return g
}

// Close ends the gateway: hanging requests are dropped, late applications of
// faults take effect at once, and all connections are closed. When it returns, no
// goroutine of the gateway runs any more; journal and state can still be read.
func (g *Gateway) Close() { g.gw.Close() }

// URL is the address of the gateway, as scheme://host:port without a path. It is
// the endpoint of the APIG service and of IAM alike.
func (g *Gateway) URL() string { return g.gw.URL() }

// Transport returns a new transport that reaches the gateway and trusts its
// certificate. The caller closes its idle connections at the end. With [WithTLS]
// it speaks HTTP/2; set ForceAttemptHTTP2 to false for HTTP/1.1.
func (g *Gateway) Transport() *http.Transport { return g.gw.Transport() }

// CertPool has the certificate of a gateway with [WithTLS]; without, it is nil.
func (g *Gateway) CertPool() *x509.CertPool { return g.gw.CertPool() }

// ProjectID is the ID of the project.
func (g *Gateway) ProjectID() string { return g.in.ProjectID() }

// InstanceID is the ID of the instance.
func (g *Gateway) InstanceID() string { return g.in.InstanceID() }

// AddInstance adds an instance to the project, or returns the one with this ID. It
// shares everything with the first but APIs, groups, environments and versions.
func (g *Gateway) AddInstance(instanceID string) *Gateway {
	return &Gateway{g.gw, g.gw.AddInstance(g.ProjectID(), instanceID)}
}

// Accepted is the number of connections accepted so far.
func (g *Gateway) Accepted() int { return g.gw.Accepted() }

// SetClock replaces the clock of the gateway; nil restores the system's.
// Publications, tokens and signatures go by this clock; the waits of faults do
// not. The function is called from several goroutines and must not call the
// gateway.
func (g *Gateway) SetClock(now func() time.Time) { g.gw.SetClock(now) }

// Token is a token that is valid for the project. It has no expiry; only [ExpireToken]
// and [Gateway.RevokeToken] end it.
func (g *Gateway) Token() string { return g.gw.Token() }

// AddToken makes a token valid until the expiry; a zero time means for ever. An
// expired token is refused as expired, an unknown one as wrong.
func (g *Gateway) AddToken(token string, expiry time.Time) { g.gw.AddToken(token, expiry) }

// RevokeToken makes the gateway forget a token.
func (g *Gateway) RevokeToken(token string) { g.gw.RevokeToken(token) }

// User is an IAM user, who can get tokens with a password.
type User struct {
	Name       string
	Password   string
	DomainName string // the account; if empty, named as the user
}

// AddUser makes a user known to IAM, in place of one of the same name and domain,
// and returns the user's ID.
func (g *Gateway) AddUser(u User) (id string) {
	return g.gw.AddUser(gateway.User{Name: u.Name, Password: u.Password, DomainName: u.DomainName}).ID
}

// AddAgency lets other accounts act for the account of a domain, with a token of
// their own (assume_role).
func (g *Gateway) AddAgency(name, domainName string) {
	g.gw.AddAgency(gateway.Agency{Name: name, DomainName: domainName})
}

// AddKeys makes an access key valid for requests signed with SDK-HMAC-SHA256. With
// a security token (of a temporary key) each request must carry that token too.
func (g *Gateway) AddKeys(accessKey, secretKey, securityToken string) {
	g.gw.AddKeys(accessKey, secretKey, securityToken)
}

// AddAPI adds an API, published nowhere yet, to the group DEFAULT.
func (g *Gateway) AddAPI(name string) (id string) { return g.in.AddAPI(name) }

// AddGroup adds a group of APIs.
func (g *Gateway) AddGroup(name string) (id string) { return g.in.AddGroup(name) }

// AddAPIIn adds an API to a group. A group that does not exist is added under
// that ID.
func (g *Gateway) AddAPIIn(groupID, name string) (id string) { return g.in.AddAPIIn(groupID, name) }

// RemoveAPI deletes an API with its versions, published or not.
func (g *Gateway) RemoveAPI(id string) { g.in.RemoveAPI(id) }

// AddEnvironment adds an environment, or returns the ID of the one that has this
// name.
func (g *Gateway) AddEnvironment(name string) (id string) { return g.in.AddEnvironment(name) }

// Version is a version of an API in an environment. Each publish makes one.
type Version struct {
	ID       string
	Remark   string
	Time     time.Time // of the publish
	InEffect bool
}

func version(v gateway.Version) Version {
	return Version{ID: v.ID, Remark: v.Remark, Time: v.Time, InEffect: v.InEffect}
}

// Publish publishes an API without a request, as another client might do while the
// client under test is at work. The text of an error begins with the code of the
// service.
func (g *Gateway) Publish(apiID, envID, remark string) (Version, error) {
	v, err := g.in.Publish(apiID, envID, remark)
	return version(v), err
}

// Offline takes an API offline without a request, see [Gateway.Publish].
func (g *Gateway) Offline(apiID, envID string) error { return g.in.Offline(apiID, envID) }

// Published returns the version in effect, if the API is published in the
// environment.
func (g *Gateway) Published(apiID, envID string) (Version, bool) {
	v, ok := g.in.Published(apiID, envID)
	return version(v), ok
}

// History returns the kept versions of an API, at most ten, newest first.
func (g *Gateway) History(apiID, envID string) []Version {
	var all []Version
	for _, v := range g.in.History(apiID, envID) {
		all = append(all, version(v))
	}
	return all
}

// Action is a kind of change.
type Action string

// The kinds of changes.
const (
	ActionOnline         = Action(gateway.ActionOnline)         // an API was published
	ActionOffline        = Action(gateway.ActionOffline)        // it was taken offline
	ActionSwitch         = Action(gateway.ActionSwitch)         // another version of it was put into effect
	ActionOfflineVersion = Action(gateway.ActionOfflineVersion) // the version in effect was taken offline
)

// Applied is a change that the gateway has made.
type Applied struct {
	Time      time.Time // on the gateway's clock
	Action    Action
	APIID     string
	EnvID     string
	Remark    string
	VersionID string   // published, switched to, or taken offline
	Request   *Request // nil: made by the test itself
}

// Journal returns every change, in order. Unlike a history it is never cut.
func (g *Gateway) Journal() []Applied {
	var all []Applied
	for _, a := range g.gw.Journal() {
		all = append(all, Applied{a.Time, Action(a.Action), a.APIID, a.EnvID, a.Remark, a.VersionID, request(a.Request)})
	}
	return all
}

// Request is a request that the gateway has received completely. It is for
// reading only.
type Request struct {
	ID     string    // in X-Request-Id of the answer
	Time   time.Time // on the gateway's clock
	Op     Op
	APIID  string // in the path, or in the body of an OpAction
	Method string
	Path   string // unescaped
	Query  url.Values
	Header http.Header // everything that was sent, except Host
	Body   []byte
}

func request(r *gateway.Request) *Request {
	if r == nil {
		return nil
	}
	return &Request{r.ID, r.Time, Op(r.Op), r.APIID, r.Method, r.Path, r.Query, r.Header, r.Body}
}

// Requests returns everything received so far, in order. A request is recorded
// before a fault strikes it.
func (g *Gateway) Requests() []Request {
	var all []Request
	for _, r := range g.gw.Requests() {
		all = append(all, *request(&r))
	}
	return all
}

// Op is the kind of a request. Kinds that are not below have names too, such as
// "catalog"; [Request.Op] shows them.
type Op string

// The usual kinds of requests. Paths are below
// /v2/{project_id}/apigw/instances/{instance_id}, but for OpToken.
const (
	OpAction         = Op(gateway.OpAction)         // POST apis/action: publish one API or take it offline
	OpBatch          = Op(gateway.OpBatch)          // POST apis/publish: the same for many
	OpHistory        = Op(gateway.OpHistory)        // GET apis/publish/{api_id}
	OpSwitch         = Op(gateway.OpSwitch)         // PUT apis/publish/{api_id}
	OpVersion        = Op(gateway.OpVersion)        // GET apis/versions/{version_id}
	OpOfflineVersion = Op(gateway.OpOfflineVersion) // DELETE apis/versions/{version_id}
	OpRuntime        = Op(gateway.OpRuntime)        // GET apis/runtime/{api_id}
	OpEnvironments   = Op(gateway.OpEnvironments)   // GET envs
	OpAPIs           = Op(gateway.OpAPIs)           // GET apis
	OpToken          = Op(gateway.OpToken)          // POST /v3/auth/tokens
)
