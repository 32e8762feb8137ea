package apigtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// tokenRequest is the body of POST /v3/auth/tokens, as far as the fake knows
// it: a password or an agency, for a project or a domain.
type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					reference
					Password string    `json:"password"`
					Domain   reference `json:"domain"`
				} `json:"user"`
			} `json:"password"`
			AssumeRole struct {
				AgencyName string `json:"agency_name"`
				DomainName string `json:"domain_name"`
				DomainID   string `json:"domain_id"`
			} `json:"assume_role"`
		} `json:"identity"`
		Scope struct {
			Project *struct {
				reference
				Domain reference `json:"domain"`
			} `json:"project"`
			Domain *reference `json:"domain"`
		} `json:"scope"`
	} `json:"auth"`
}

// reference names something by its id or by its name.
type reference struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// fits reports whether what is given of the reference agrees with the thing.
func (r reference) fits(id, name string) bool {
	return (r.ID == "" || r.ID == id) && (r.Name == "" || r.Name == name)
}

func (r reference) empty() bool { return r == reference{} }

// decodeToken is strict too: encoding/json would take "Auth" for "auth".
func decodeToken(r *Request, into *tokenRequest) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return errors.New("Content-Type is not application/json")
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	var plain any
	_ = json.Unmarshal(r.Body, &plain)
	return lowerCase(plain)
}

// lowerCase refuses names that are not, as all of the token API are.
func lowerCase(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name != strings.ToLower(name) {
				return fmt.Errorf("unknown field %q", name)
			}
			if err := lowerCase(member); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range v {
			if err := lowerCase(element); err != nil {
				return err
			}
		}
	}
	return nil
}
