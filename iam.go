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

	"github.com/apig-go/apig/internal/errorbody"
)

// IAMEndpoint returns the address of the identity service (IAM) in a region of Huawei
// Cloud. Invalid names are treated as in [Endpoint].
func IAMEndpoint(region string) string { return serviceEndpoint("iam", region) }

// IAM gets tokens for a user and a project from the identity service, with the user's
// password. *IAM is a [TokenSource]; give it to [TokenAuth]. TokenAuth keeps the tokens:
// one lasts for 24 hours.
//
// A failure of the service is an [*APIGError] with the Op IAM, or IAM agency for the
// agency's token. It is retried by the default [RetryPolicy], as in any call that only
// reads.
type IAM struct {
	Endpoint string // such as https://iam.cn-north-4.myhuaweicloud.com, see IAMEndpoint

	// The user: UserID, or Username with DomainID or DomainName, the user's account.
	UserID     string
	Username   string
	DomainID   string
	DomainName string
	Password   Secret

	// The agency to act for, if any: its name, and either the ID or the name of the
	// account that owns it. An agency lets this user act for that account. The user
	// needs the permission Agent Operator. Token first gets a token of the user,
	// without a project, and with it the token of the agency.
	AgencyName       string
	AgencyDomainID   string
	AgencyDomainName string

	// The project of the token: ProjectID or else ProjectName. The default project of a
	// region has the region's name. Without either, IAM uses the default of the user or
	// of the agency.
	ProjectID   string
	ProjectName string

	// As in Config. Without an HTTPClient no connection is kept open between two
	// tokens.
	HTTPClient *http.Client
	Logger     *slog.Logger
}

// Format prints the user with any verb, and no password.
func (i *IAM) Format(s fmt.State, _ rune) {
	if i == nil {
		fmt.Fprint(s, "apig.IAM(nil)")
		return
	}
	fmt.Fprintf(s, "apig.IAM(user %s)", errorbody.Line(cmp.Or(i.UserID, i.Username), maxCode))
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
		Project authID `json:"project"`
	}
	authID struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
)

// named is the ID, or else the name, or nil if there is neither.
func named(id, name string) *authID {
	switch {
	case id != "":
		return &authID{ID: id}
	case name != "":
		return &authID{Name: name}
	}
	return nil
}

// Token gets a new token: of the agency if there is one, or else of the user.
func (i *IAM) Token(ctx context.Context) (Token, error) {
	if err := i.check(); err != nil {
		return Token{}, err
	}
	user := authUser{ID: i.UserID, Password: string(i.Password)}
	if user.ID == "" {
		user.Name, user.Domain = i.Username, named(i.DomainID, i.DomainName)
	}
	password := authIdentity{Methods: []string{"password"}, Password: &authPassword{user}}
	var scope *authScope // IAM takes the default project if there is none
	if project := named(i.ProjectID, i.ProjectName); project != nil {
		scope = &authScope{*project}
	}
	if i.AgencyName == "" {
		return i.get(ctx, "IAM", noAuth{}, authBody{password, scope})
	}
	own, err := i.get(ctx, "IAM", noAuth{}, authBody{Identity: password})
	if err != nil {
		return Token{}, fmt.Errorf("getting the token of the agency's user: %w", err)
	}
	role := authAssumeRole{i.AgencyName, i.AgencyDomainID, i.AgencyDomainName}
	return i.get(ctx, "IAM agency", StaticToken(string(own.Value)),
		authBody{authIdentity{Methods: []string{"assume_role"}, AssumeRole: &role}, scope})
}

// check reports the mistakes in i.
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
	switch domains := i.AgencyDomainID + i.AgencyDomainName; {
	case i.AgencyName == "" && domains != "":
		bad.addf("IAM.AgencyName is empty, and an account of an agency is set")
	case i.AgencyName != "" && (domains == "" || i.AgencyDomainID != "" && i.AgencyDomainName != ""):
		bad.addf("IAM.AgencyName needs one of IAM.AgencyDomainID and IAM.AgencyDomainName")
	}
	for _, field := range []struct{ name, value string }{
		{"IAM.Password", string(i.Password)},
		{"IAM.UserID", i.UserID}, {"IAM.Username", i.Username}, {"IAM.DomainID", i.DomainID}, {"IAM.DomainName", i.DomainName},
		{"IAM.AgencyName", i.AgencyName}, {"IAM.AgencyDomainID", i.AgencyDomainID}, {"IAM.AgencyDomainName", i.AgencyDomainName},
		{"IAM.ProjectID", i.ProjectID}, {"IAM.ProjectName", i.ProjectName},
	} {
		bad.text(field.name, field.value)
	}
	i.config(nil).checkTransfer("IAM.", &bad)
	return bad.err()
}

func (i *IAM) config(auth Authenticator) Config {
	return Config{Endpoint: i.Endpoint, Auth: auth, HTTPClient: i.HTTPClient, Logger: i.Logger}
}

// get makes one request for a token. Without a client of the caller it closes the
// connection: the next token may be a day away.
func (i *IAM) get(ctx context.Context, op string, auth Authenticator, body authBody) (Token, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(authRequest{body}) // strings always marshal
	iam := newService(i.config(auth))
	if i.HTTPClient == nil {
		defer iam.http.CloseIdleConnections()
	}
	return read(ctx, &iam, operation{
		name: op,
		request: request{
			method: http.MethodPost,
			path:   "/v3/auth/tokens?nocatalog=true",
			body:   buf.Bytes(),
			secret: string(i.Password),
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
