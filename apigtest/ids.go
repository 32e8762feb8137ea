package apigtest

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"
)

// ids makes identifiers in the form of the service: 32 hexadecimal digits.
type ids struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// Each kind of identifier has a stream of its own: otherwise the number of
// requests would decide which id the next version gets.
const (
	resourceIDs = iota
	requestIDs
	tokenIDs
)

func newIDs(seed, stream uint64) *ids {
	return &ids{rng: rand.New(rand.NewPCG(seed, stream))}
}

func (s *ids) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), s.rng.Uint64())
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, s.rng.Uint64()))
}
