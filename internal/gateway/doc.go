// Package gateway is the fake gateway behind package apigtest, with all that only
// this repository's tests and the command "apig gateway" use. It imports nothing of
// package apig: with the wire types of the library it could not find a wrong name in
// them.
package gateway
