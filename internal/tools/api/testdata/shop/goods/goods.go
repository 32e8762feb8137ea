// Package goods has a type that package shop exports.
package goods

// Thing is seen in the API of shop.
type Thing struct{}
