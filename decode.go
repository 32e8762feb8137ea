package apig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxValue bounds one value in an answer that has many, such as a row of a
	// list, in bytes. An API that is published in all of maxEnvironments takes a
	// third of it.
	maxValue = 64 << 10

	// maxFields bounds the fields of such an answer. The service has three.
	maxFields = 64
)

// fieldDecoders read the values of the fields that an answer is known to have.
type fieldDecoders map[string]func(*values) error

// values reads JSON value by value. A json.Decoder keeps all of a value until it
// has seen its end, and takes several times its size for it: so it is given no
// more of the body than one value may have.
type values struct {
	json  *json.Decoder
	body  []byte
	given int // bytes of the body
	limit int // of that
}

// Read gives the decoder more of the body.
func (v *values) Read(p []byte) (int, error) {
	if v.given == len(v.body) {
		return 0, io.EOF
	}
	if v.given == v.limit {
		return 0, fmt.Errorf("a value is longer than %d bytes", maxValue)
	}
	n := copy(p, v.body[v.given:v.limit])
	v.given += n
	return n, nil
}

// next allows one more value to be read.
func (v *values) next() *json.Decoder {
	v.limit = max(v.limit, min(len(v.body), int(v.json.InputOffset())+maxValue))
	return v.json
}

// expect reads a delimiter.
func (v *values) expect(delimiter json.Delim) error {
	token, err := v.next().Token()
	if err == nil && token != delimiter {
		err = fmt.Errorf("it has %v where %v should be", token, delimiter)
	}
	return err
}

// decodeObject reads a JSON object field by field, and gives those it knows to
// whoever decodes them. So what a field may hold can be bounded as it is read.
func decodeObject(body []byte, fields fieldDecoders) error {
	v := &values{body: bytes.TrimSpace(body)}
	v.json = json.NewDecoder(v)
	if err := v.expect('{'); err != nil {
		return err
	}
	for n := 0; v.next().More(); n++ {
		if n == maxFields {
			return fmt.Errorf("it has more than %d fields", maxFields)
		}
		key, err := v.json.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if decode := fields[name]; decode != nil {
			err = decode(v)
		} else {
			err = v.next().Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if err := v.expect('}'); err != nil {
		return err
	}
	if _, err := v.next().Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// decodeInto reads one value.
func decodeInto(to any) func(*values) error {
	return func(v *values) error { return v.next().Decode(to) }
}

// decodeRows reads an array of at most that many rows, or null.
func decodeRows[T any](rows *[]T, most int) func(*values) error {
	return func(v *values) error {
		begin, err := v.next().Token()
		if *rows = nil; err != nil || begin == nil {
			return err
		}
		if begin != json.Delim('[') {
			return errors.New("the rows are not an array")
		}
		*rows = []T{}
		for v.next().More() {
			if len(*rows) == most {
				return fmt.Errorf("there are more than %d rows", most)
			}
			*rows = append(*rows, *new(T))
			if err := v.next().Decode(&(*rows)[len(*rows)-1]); err != nil {
				return err
			}
		}
		return v.expect(']')
	}
}
