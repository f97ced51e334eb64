package engine

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

const (
	// encodingEncrypted marks an encrypted payload, by the convention of the
	// SDK's samples.
	encodingEncrypted = "binary/encrypted"
	// metadataKeyID names the key that encrypted, for whoever rotates keys.
	metadataKeyID = "encryption-key-id"
	// payloadContext binds what is sealed here to Temporal: stored in
	// histories, never rename.
	payloadContext = "temporal.payload"
)

// Sealer encrypts payloads. Its methods are called concurrently.
type Sealer interface {
	// Seal encrypts plain with the primary key and binds it to context.
	Seal(plain, context []byte) ([]byte, error)
	// Open decrypts what any key of the ring has sealed in the same context.
	Open(sealed, context []byte) ([]byte, error)
	// PrimaryID is the id of the key that Seal uses, which is not secret.
	PrimaryID() string
}

// NewDataConverter returns the SDK's default converter with every payload
// encrypted. A payload that arrives in clear is read as it is, so that one
// typed into a command line works.
func NewDataConverter(sealer Sealer) converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec{sealer})
}

// NewFailureConverter returns a converter that encrypts the messages and stack
// traces of failures too. Error types stay readable, since retry policies name
// them: no personal data belongs there.
func NewFailureConverter(data converter.DataConverter) converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

// codec seals whole payloads, so that their own metadata is hidden as well.
type codec struct{ sealer Sealer }

// Codec encrypts and decrypts payloads, for tools that read histories.
func Codec(sealer Sealer) converter.PayloadCodec { return codec{sealer} }

// Encode implements [converter.PayloadCodec].
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	encoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		sealed, err := c.sealer.Seal(plain, []byte(payloadContext))
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		encoded[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted),
				metadataKeyID:              []byte(c.sealer.PrimaryID()),
			},
			Data: sealed,
		}
	}
	return encoded, nil
}

// Decode implements [converter.PayloadCodec].
func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	decoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encodingEncrypted {
			decoded[i] = p
			continue
		}
		plain, err := c.sealer.Open(p.GetData(), []byte(payloadContext))
		if err != nil {
			return nil, fmt.Errorf("decrypt payload: %w", err)
		}
		decoded[i] = new(commonpb.Payload)
		if err := proto.Unmarshal(plain, decoded[i]); err != nil {
			return nil, errors.New("decrypt payload: not a payload") // the cause could quote what was decrypted
		}
	}
	return decoded, nil
}
