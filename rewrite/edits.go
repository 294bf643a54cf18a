package rewrite

// This file applies a plan while a message is read. It does not know why an edit
// is there.

import "io"

// Control returns the edits that are done even if the message goes untracked:
// the removal of control fields.
func (e Edits) Control() Edits {
	var out Edits
	for _, x := range e {
		if x.Kind == Control {
			out = append(out, x)
		}
	}
	return out
}

// Size returns the length of the edited message in octets, given the original's.
func (e Edits) Size(size int64) int64 {
	for _, x := range e {
		size += int64(len(x.Insert)) - x.Remove
	}
	return size
}

// Reader returns the edited message: message, of size octets, with the edits
// applied. It reads straight into the caller's buffer and holds nothing itself.
// A message that turns out shorter than size is io.ErrUnexpectedEOF.
func (e Edits) Reader(message io.ReaderAt, size int64) io.Reader {
	return &editReader{message: message, size: size, edits: e}
}

type editReader struct {
	message io.ReaderAt
	size    int64
	edits   Edits
	off     int64 // in the original
	put     int   // octets of the next edit's Insert that are out
}

// Read implements io.Reader.
func (r *editReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		end := r.size
		if len(r.edits) > 0 {
			end = r.edits[0].Offset
		}
		if r.off < end {
			m, err := r.message.ReadAt(p[n:n+int(min(int64(len(p)-n), end-r.off))], r.off)
			n += m
			r.off += int64(m)
			if m == 0 && err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return n, err
			}
			continue
		}
		if len(r.edits) == 0 {
			return n, eofIf(n == 0)
		}
		x := &r.edits[0]
		m := copy(p[n:], x.Insert[r.put:])
		n += m
		r.put += m
		if r.put == len(x.Insert) {
			r.off += x.Remove
			r.edits, r.put = r.edits[1:], 0
		}
	}
	return n, nil
}

func eofIf(yes bool) error {
	if yes {
		return io.EOF
	}
	return nil
}
