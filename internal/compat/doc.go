// Package compat compares this library with Huawei Cloud's official SDK. It has
// tests only, in a module of its own, so that no user downloads that SDK.
package compat
