// Package errorbody reads the errors of Huawei Cloud services, and makes texts
// that came from a server fit to print: short, on one line, and without the
// credentials that the request carried.
//
// # What is masked
//
// A credential of 24 bytes or more is masked wherever 12 of its bytes in a row
// stand in a text, one of 12 to 23 bytes wherever half of it does, rounded
// down, and one of 6 to 11 bytes where all of it does. Shorter ones, as tests
// have, are never masked. So a credential that is cut, or that lacks any one of
// its characters, still loses its longer part.
//
// It is recognised without regard to the case of ASCII letters, as it stands
// and under up to three layers of:
//
//   - escapes with a backslash, of JSON, Go and the like: \/, \", \n, \x3d,
//     \u003d, \U0000003d, pairs of surrogates, with any number of backslashes;
//   - percent-encoding, and + for a space;
//   - HTML entities: decimal and hexadecimal ones, and the names of the ASCII
//     characters that credentials are made of, which end in a semicolon.
//
// Its base64, with either alphabet and wherever in a longer base64 text it
// begins, is recognised where 16 or more characters of that alphabet stand in a
// row, as they are or with the escapes above undone.
//
// # What is not
//
// Other encodings: hexadecimal, octal escapes, UTF-16 and UTF-7, base32,
// base64 of base64, \u{3d}, quoted-printable; other letters' case; a credential
// that is reversed, hashed, compressed or encrypted, or with other characters
// between its own, so that no run of the length above is left; and what is left
// of one beyond its masked runs, which is less than such a run at each end.
package errorbody
