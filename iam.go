package apig

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// IAMEndpoint returns the address of the identity service (IAM) in a region of Huawei
// Cloud. Invalid names are treated as in [Endpoint].
func IAMEndpoint(region string) string { return serviceEndpoint("iam", region) }

// IAM gets tokens for a user and a project from the identity service, with the user's
// password. *IAM is a [TokenSource]; give it to [TokenAuth]. TokenAuth keeps the tokens:
// one lasts for 24 hours.
//
// A failure of the service is an [*APIGError] with the Op IAM. It is retried as in any call
// that only reads.
type IAM struct {
	Endpoint string // such as https://iam.cn-north-4.myhuaweicloud.com, see IAMEndpoint

	// The user: UserID, or Username with DomainID or DomainName, the user's account.
	UserID     string
	Username   string
	DomainID   string
	DomainName string
	Password   Secret

	// The project of the token: ProjectID or else ProjectName. The default project of a
	// region has the region's name. Without either, IAM uses the user's default.
	ProjectID   string
	ProjectName string

	// As in Config. Without an HTTPClient no connection is kept open between two
	// tokens.
	HTTPClient     *http.Client
	AttemptTimeout time.Duration
	Retry          RetryPolicy
	Logger         *slog.Logger
}

// Format prints the user with any verb, and no password.
func (i *IAM) Format(s fmt.State, _ rune) {
	if i == nil {
		fmt.Fprint(s, "apig.IAM(nil)")
		return
	}
	fmt.Fprintf(s, "apig.IAM(user %s)", errorbody.Line(cmp.Or(i.UserID, i.Username), maxCode))
}

// Agency gets tokens of an agency. By the agency another account has delegated some of
// its permissions. *Agency is a [TokenSource], as IAM is.
//
// A failure of the service is an [*APIGError] with the Op IAM agency. It is retried as in
// IAM. Errors of Source are passed on.
type Agency struct {
	Endpoint string // of IAM, as in IAM

	// Source gets the tokens of the user who acts for the agency. The user needs the
	// permission Agent Operator.
	Source TokenSource

	Name string // of the agency

	// The account that owns the agency: one of the two.
	DomainID   string
	DomainName string

	// The project of the token: one of the two, or neither for the default.
	ProjectID   string
	ProjectName string

	// As in IAM.
	HTTPClient     *http.Client
	AttemptTimeout time.Duration
	Retry          RetryPolicy
	Logger         *slog.Logger
}

// Format prints the agency and its account with any verb, and nothing of Source.
func (a *Agency) Format(s fmt.State, _ rune) {
	if a == nil {
		fmt.Fprint(s, "apig.Agency(nil)")
		return
	}
	fmt.Fprintf(s, "apig.Agency(%s of %s)", errorbody.Line(a.Name, maxCode), errorbody.Line(cmp.Or(a.DomainID, a.DomainName), maxCode))
}

// The body of POST /v3/auth/tokens.
type (
	authRequest struct {
		Auth authBody `json:"auth"`
	}
	authBody struct {
		Identity authIdentity `json:"identity"`
		Scope    *authScope   `json:"scope,omitempty"`
	}
	authIdentity struct {
		Methods    []string        `json:"methods"`
		Password   *authPassword   `json:"password,omitempty"`
		AssumeRole *authAssumeRole `json:"assume_role,omitempty"`
	}
	authPassword struct {
		User authUser `json:"user"`
	}
	authUser struct {
		ID       string  `json:"id,omitempty"`
		Name     string  `json:"name,omitempty"`
		Domain   *authID `json:"domain,omitempty"`
		Password string  `json:"password"`
	}
	authAssumeRole struct {
		AgencyName string `json:"agency_name"`
		DomainID   string `json:"domain_id,omitempty"`
		DomainName string `json:"domain_name,omitempty"`
	}
	authScope struct {
		Project authProject `json:"project"`
	}
	authProject struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
	authID struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
)

// named is nil if there is neither an ID nor a name.
func named(id, name string) *authID {
	switch {
	case id != "":
		return &authID{ID: id}
	case name != "":
		return &authID{Name: name}
	}
	return nil
}

// Token gets a new token.
func (i *IAM) Token(ctx context.Context) (Token, error) {
	if err := i.check(); err != nil {
		return Token{}, err
	}
	user := authUser{ID: i.UserID, Password: string(i.Password)}
	if user.ID == "" {
		user.Name, user.Domain = i.Username, named(i.DomainID, i.DomainName)
	}
	project := authProject{ID: i.ProjectID}
	if project.ID == "" {
		project.Name = i.ProjectName
	}
	return getToken(ctx, i.config(), "IAM", string(i.Password), authBody{
		Identity: authIdentity{Methods: []string{"password"}, Password: &authPassword{user}},
		Scope:    scopeOf(project),
	})
}

// Token gets a new token of the agency.
func (a *Agency) Token(ctx context.Context) (Token, error) {
	if err := a.check(); err != nil {
		return Token{}, err
	}
	own, err := a.Source.Token(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("getting the token of the agency's user: %w", err)
	}
	return getToken(ctx, a.config(own), "IAM agency", "", authBody{
		Identity: authIdentity{
			Methods:    []string{"assume_role"},
			AssumeRole: &authAssumeRole{a.Name, a.DomainID, a.DomainName},
		},
		Scope: scopeOf(authProject{ID: a.ProjectID, Name: a.ProjectName}),
	})
}

// scopeOf is nil without a project: IAM then uses the user's default project.
func scopeOf(p authProject) *authScope {
	if p == (authProject{}) {
		return nil
	}
	return &authScope{p}
}

func (i *IAM) config() Config {
	return Config{Endpoint: i.Endpoint, Auth: noAuth{}, HTTPClient: i.HTTPClient,
		AttemptTimeout: i.AttemptTimeout, Retry: i.Retry, Logger: i.Logger}
}

func (a *Agency) config(own Token) Config {
	return Config{Endpoint: a.Endpoint, Auth: StaticToken(string(own.Value)), HTTPClient: a.HTTPClient,
		AttemptTimeout: a.AttemptTimeout, Retry: a.Retry, Logger: a.Logger}
}

func (i *IAM) check() error {
	var bad problems
	if i.UserID == "" {
		switch {
		case i.Username == "":
			bad.addf("IAM.Username and IAM.UserID are empty")
		case i.DomainName == "" && i.DomainID == "":
			bad.addf("IAM.DomainName and IAM.DomainID are empty, and Username needs one of them")
		}
	}
	if i.Password == "" {
		bad.addf("IAM.Password is empty")
	}
	bad.text("IAM.Password", string(i.Password))
	bad.text("IAM.UserID", i.UserID)
	bad.text("IAM.Username", i.Username)
	bad.text("IAM.DomainID", i.DomainID)
	bad.text("IAM.DomainName", i.DomainName)
	bad.text("IAM.ProjectID", i.ProjectID)
	bad.text("IAM.ProjectName", i.ProjectName)
	i.config().checkTransfer("IAM.", &bad)
	return bad.err()
}

func (a *Agency) check() error {
	var bad problems
	if isNil(a.Source) {
		bad.addf("Agency.Source is nil")
	}
	if a.Name == "" {
		bad.addf("Agency.Name is empty")
	}
	if (a.DomainName == "") == (a.DomainID == "") {
		bad.addf("one of Agency.DomainName and Agency.DomainID is needed")
	}
	if a.ProjectID != "" && a.ProjectName != "" {
		bad.addf("Agency.ProjectID and Agency.ProjectName exclude each other")
	}
	bad.text("Agency.Name", a.Name)
	bad.text("Agency.DomainID", a.DomainID)
	bad.text("Agency.DomainName", a.DomainName)
	bad.text("Agency.ProjectID", a.ProjectID)
	bad.text("Agency.ProjectName", a.ProjectName)
	a.config(Token{}).checkTransfer("Agency.", &bad)
	return bad.err()
}

// getToken makes the request that all kinds of tokens share. Without a client of the
// caller it closes the connection: the next token may be a day away.
func getToken(ctx context.Context, cfg Config, name, secret string, body authBody) (Token, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(authRequest{body}) // strings always marshal
	iam := newService(cfg)
	if cfg.HTTPClient == nil {
		defer iam.http.CloseIdleConnections()
	}
	return read(ctx, &iam, operation{
		name: name,
		request: request{
			method: http.MethodPost,
			path:   "/v3/auth/tokens?nocatalog=true",
			body:   buf.Bytes(),
			secret: secret,
		},
	}, decodeToken)
}

// decodeToken reads the token from the header and its end from the body. A token with an
// unreadable end is used until the service rejects it.
func decodeToken(a *answer) (Token, error) {
	token := a.header.Get("X-Subject-Token")
	if token == "" {
		return Token{}, errors.New("the answer has no X-Subject-Token")
	}
	var body struct {
		Token struct {
			ExpiresAt rawText `json:"expires_at"`
		} `json:"token"`
	}
	_ = json.Unmarshal(a.body, &body)
	return Token{Secret(token), parseTime(body.Token.ExpiresAt.text())}, nil
}

// noAuth is for requests that carry their credentials in the body.
type noAuth struct{}

func (noAuth) Authenticate(*http.Request) error { return nil }
