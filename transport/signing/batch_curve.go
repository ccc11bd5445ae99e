// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// curveVerifier checks a batch with one equation over random 128-bit coefficients z,
//
//	[−Σ zᵢsᵢ] B + Σ [zᵢ] Rᵢ + Σ over keys [Σ zᵢkᵢ] A = a point of small order,
//
// where k = SHA-512(R ‖ A ‖ M). A forged signature passes with a probability of 2⁻¹²⁸. Signatures by the same key share one
// term, and the batches of a federation are mostly one origin's, so this is where the speed comes from.
type curveVerifier struct{}

func (curveVerifier) allValid(checks []Check) bool {
	if len(checks) == 0 {
		return true
	}
	eq := newEquation(len(checks))
	for _, c := range checks {
		if !eq.add(c) {
			return false
		}
	}
	return eq.holds()
}

// equation collects the terms of a batch. The first term is that of the base point.
type equation struct {
	scalars []scalar.Scalar
	points  []curve.EdwardsPoint
	terms   map[[ed25519.PublicKeySize]byte]int // where a key's term is
	random  []byte                              // the coefficients that are left, 16 bytes each
}

const coefficientSize = 16 // 128 bits

func newEquation(signatures int) *equation {
	eq := &equation{
		scalars: make([]scalar.Scalar, 1, 1+2*signatures),
		points:  make([]curve.EdwardsPoint, 1, 1+2*signatures),
		terms:   make(map[[ed25519.PublicKeySize]byte]int),
		random:  make([]byte, coefficientSize*signatures),
	}
	eq.points[0].Set(curve.ED25519_BASEPOINT_POINT)
	rand.Read(eq.random) // never fails: crypto/rand ends the program instead
	return eq
}

// add is false for a signature that cannot be valid, or whose encodings are not the canonical ones: the standard library may
// still have another opinion of the latter.
func (eq *equation) add(c Check) bool {
	if len(c.Public) != ed25519.PublicKeySize || len(c.Signature) != ed25519.SignatureSize {
		return false
	}
	var s, k, z scalar.Scalar
	if _, err := s.SetCanonicalBytes(c.Signature[32:]); err != nil {
		return false
	}
	key, ok := eq.term([ed25519.PublicKeySize]byte(c.Public))
	if !ok {
		return false
	}
	r, ok := decodePoint(c.Signature[:32])
	if !ok {
		return false
	}
	hash := sha512.New()
	hash.Write(c.Signature[:32])
	hash.Write(c.Public)
	hash.Write(c.Message)
	var digest [sha512.Size]byte
	if _, err := k.SetBytesModOrderWide(hash.Sum(digest[:0])); err != nil {
		return false
	}
	var wide [scalar.ScalarSize]byte
	copy(wide[:coefficientSize], eq.random)
	eq.random = eq.random[coefficientSize:]
	if _, err := z.SetCanonicalBytes(wide[:]); err != nil {
		return false
	}
	eq.scalars[0].Sub(&eq.scalars[0], s.Mul(&s, &z))
	eq.scalars[key].Add(&eq.scalars[key], k.Mul(&k, &z))
	eq.scalars = append(eq.scalars, z)
	eq.points = append(eq.points, r)
	return true
}

// term finds or adds the term of a public key. Keys of small order are left to the standard library.
func (eq *equation) term(public [ed25519.PublicKeySize]byte) (int, bool) {
	if i, ok := eq.terms[public]; ok {
		return i, true
	}
	a, ok := decodePoint(public[:])
	if !ok || a.IsSmallOrder() {
		return 0, false
	}
	i := len(eq.points)
	eq.terms[public] = i
	eq.scalars = append(eq.scalars, scalar.Scalar{})
	eq.points = append(eq.points, a)
	return i, true
}

func (eq *equation) holds() bool {
	scalars := make([]*scalar.Scalar, len(eq.scalars))
	points := make([]*curve.EdwardsPoint, len(eq.points))
	for i := range eq.scalars {
		scalars[i], points[i] = &eq.scalars[i], &eq.points[i]
	}
	var sum curve.EdwardsPoint
	return sum.MultiscalarMulVartime(scalars, points).IsSmallOrder()
}

func decodePoint(encoded []byte) (curve.EdwardsPoint, bool) {
	var compressed curve.CompressedEdwardsY
	var point curve.EdwardsPoint
	if _, err := compressed.SetBytes(encoded); err != nil || !compressed.IsCanonicalVartime() {
		return point, false
	}
	_, err := point.SetCompressedY(&compressed)
	return point, err == nil
}
