package rewrite

// Reasons for which a message or a leaf is not tracked. They are shown to people
// and kept in the store: stable, short, one each.
const (
	reasonHeader     = "header too long"
	reasonSigned     = "signed"
	reasonEncrypted  = "encrypted"
	reasonDKIM       = "DKIM-signed"
	reasonARC        = "ARC-sealed"
	reasonTypes      = "two Content-Type fields that differ"
	reasonNoHTML     = "no HTML part"
	reasonEncoding   = "unknown transfer encoding"
	reasonMD5        = "Content-MD5"
	reasonPGP        = "PGP text"
	reasonCharset    = "a character set that is not scanned"
	reasonBase64     = "base64 that is not strict"
	reasonLeaf       = "HTML part too large"
	reasonDepth      = "parts nested too deep"
	reasonParts      = "too many parts"
	reasonPartHeader = "a part's header too long"
	reasonFault      = "a fault of the rewriter"
	reasonSwitched   = "switched off by X-Track"
	reasonUnknown    = "unknown field "
	reasonNonsense   = "not understood: "
	reasonContradict = "contradicts itself: "
)
