package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	goversion "go/version"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"
)

// listen opens the gateway's address and serves it until Close.
func (g *Gateway) listen(cfg config) error {
	if err := checkAddress(cfg.addr, cfg.remote); err != nil {
		return err
	}
	var listener net.Listener
	if cfg.inMemory {
		m := newMemory()
		listener, g.dial, g.inMemory = m, m.dial, true
	} else {
		socket, err := net.Listen("tcp", cfg.addr)
		if err != nil {
			return err
		}
		listener, g.dial = socket, (&net.Dialer{}).DialContext
	}
	g.listening = listener.Addr().(*net.TCPAddr).IP
	g.url = "http://" + address(listener.Addr(), cfg.hosts)
	g.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(serverLog{cfg.log}, "", log.LstdFlags),
		ConnState:         g.life.note,
	}
	serve := g.server.Serve
	if cfg.tls {
		cert, err := newCertificate(g.listening, cfg.hosts)
		if err != nil {
			listener.Close()
			return err
		}
		g.url = "https://" + address(listener.Addr(), cfg.hosts)
		g.roots = x509.NewCertPool()
		g.roots.AddCert(cert.Leaf)
		g.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw})
		g.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
		serve = func(l net.Listener) error { return g.server.ServeTLS(l, "", "") }
	}
	handler, err := cfg.wrap(g)
	if err != nil {
		listener.Close()
		return err
	}
	g.server.Handler = handler
	g.life.enter()
	go func() {
		defer g.life.leave()
		_ = serve(listener) // always ends with ErrServerClosed
	}()
	return nil
}

// checkAddress refuses an address that other machines can reach, unless that is
// wanted: anybody who reaches the gateway may choose its faults and add tokens.
func checkAddress(addr string, remote bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if remote || host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address", addr)
}

// address is what clients dial. Nobody can dial "all addresses".
func address(listening net.Addr, hosts []string) string {
	at := listening.(*net.TCPAddr)
	if !at.IP.IsUnspecified() {
		return at.String()
	}
	return net.JoinHostPort(append(hosts[:len(hosts):len(hosts)], "127.0.0.1")[0], strconv.Itoa(at.Port))
}

// URL is where the gateway listens, as scheme://host:port without a path. It
// serves as the endpoint of the APIG service and of IAM alike.
func (g *Gateway) URL() string { return g.url }

// Transport returns a new transport that reaches the gateway, with or without
// a network, and trusts its certificate. With [WithTLS] it speaks HTTP/2 (without
// a network from Go 1.26 on, see [WithoutNetwork]); without ForceAttemptHTTP2 it
// speaks HTTP/1.1. Whoever asked for it closes its
// idle connections in the end.
func (g *Gateway) Transport() *http.Transport {
	t := &http.Transport{DialContext: g.dial}
	if g.roots != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: g.roots}
		t.ForceAttemptHTTP2 = !g.inMemory || bubblesHaveHTTP2()
	}
	return t
}

// bubblesHaveHTTP2 reports whether HTTP/2 of net/http works in bubbles of
// testing/synctest. Before Go 1.26 its servers share a pool of channels, and one
// that was made in a bubble panics outside of it.
func bubblesHaveHTTP2() bool { return goversion.Compare(runtime.Version(), "go1.26") >= 0 }

// CertPool has the certificate of a gateway started with [WithTLS]; otherwise
// it is nil.
func (g *Gateway) CertPool() *x509.CertPool { return g.roots }

// serverLog is where net/http reports panics, such as those of a fault's
// functions. Failed handshakes are left out: a client that does not trust the
// certificate says so itself, and some tests want just that.
type serverLog struct{ w io.Writer }

func (l serverLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("TLS handshake error")) {
		return len(line), nil
	}
	return l.w.Write(line)
}

// newCertificate makes a certificate for loopback, for the address listened on and
// for the names of the gateway. Its key stays in memory, and is a new one for each
// gateway: a key that is printed in a repository sooner or later is trusted by
// somebody.
func newCertificate(listening net.IP, hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now() // the client's clock checks it, not the gateway's
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "apigtest"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:              append([]string{"localhost"}, hosts...),
	}
	if !listening.IsUnspecified() {
		template.IPAddresses = append(template.IPAddresses, listening)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
