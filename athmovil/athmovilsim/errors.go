package athmovilsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The error codes that this package uses by name. [errorCodes] has every code of
// docs/athmovil.md §1.12.
const (
	codeNoHeader         = "token.invalid.header"
	codeTokenExpired     = "token.expired"
	codeBadToken         = "BTRA_0401"
	codeAuthTokenExpired = "BTRA_0402"
	codeBadCredentials   = "BTRA_0403"
	codeTokenOfOther     = "BTRA_0017"
	codeBelowMinimum     = "BTRA_0001"
	codeOwnCard          = "BTRA_0003"
	codeOverLimit        = "BTRA_0004"
	codeInvalidFormat    = "BTRA_0006"
	codeForeignID        = "BTRA_0008"
	codeNotActive        = "BTRA_0009"
	codeStatusNotActive  = "BTRA_0010"
	codeZero             = "BTRA_0013"
	codeBlank            = "BTRA_0018"
	codeNull             = "BTRA_0019"
	codeOutOfBounds      = "BTRA_0020"
	codeNoRecords        = "BTRA_0022"
	codeBadFrom          = "BTRA_0023"
	codeBadTo            = "BTRA_0024"
	codeFromAfterTo      = "BTRA_0025"
	codeRangeTooLong     = "BTRA_0026"
	codeBelowCent        = "BTRA_0028"
	codeMissingParameter = "BTRA_0029"
	codeUnknownTicket    = "BTRA_0031"
	codeNotConfirmed     = "BTRA_0032"
	codeWrongStatus      = "BTRA_0035"
	codeOtherCustomer    = "BTRA_0036"
	codeCancelled        = "BTRA_0037"
	codeLongMetadata     = "BTRA_0038"
	codeTicketExpired    = "BTRA_0039"
	codeLongMessage      = "BTRA_0040"
	codeHasPhone         = "BTRA_0041"
	codeNotOwner         = "BTRA_0043"
	codeNothingInRange   = "BTRA_0046"
	codeFutureFrom       = "BTRA_0047"
	codeFutureTo         = "BTRA_0048"
	codeUnknownReference = "BTRA_0053"
	codeCommunication    = "BTRA_9998"
	codeInternal         = "BTRA_9999"
	codeBusinessToken    = "BCUS_0092"

	codeLegacyPublicToken  = "3010"
	codeLegacyNoPublic     = "3030"
	codeLegacyPrivateToken = "3040"
	codeLegacyNoPrivate    = "3060"
	codeLegacyOtherAccount = "3070"
	codeLegacyUnknown      = "5010"
)

// errorCode is the HTTP status and the text of an error code.
type errorCode struct {
	status  int
	message string
}

// errorCodes is the table of docs/athmovil.md §1.12, followed by the legacy codes
// of §1.10. If no HTTP status is documented, the rule of §1.12 decides: 400 for a
// format, 401 for a token, 500 for an internal error, 409 for the rest. It is never
// modified.
var errorCodes = map[string]errorCode{
	codeNoHeader:         {http.StatusUnauthorized, "No authorization header present."},
	codeTokenExpired:     {http.StatusUnauthorized, "The Token has expired on %s."},
	codeBadToken:         {http.StatusUnauthorized, "Invalid authorization token"},
	codeAuthTokenExpired: {http.StatusUnauthorized, "Authorization token expired"},
	codeBadCredentials:   {http.StatusUnauthorized, "Invalid authorization token"},
	codeTokenOfOther:     {http.StatusUnauthorized, "Invalid authorization token"},

	codeBelowMinimum:     {http.StatusBadRequest, "Amount is under the minimum"},
	"BTRA_0002":          {http.StatusConflict, "Customer is Pending Regain Access Verification"},
	codeOwnCard:          {http.StatusConflict, "Customer's card is the same as the business's card"},
	codeOverLimit:        {http.StatusConflict, "Amount is over the limits"},
	"BTRA_0005":          {http.StatusConflict, "Transaction failed with a status error"},
	codeInvalidFormat:    {http.StatusBadRequest, "Invalid format"},
	"BTRA_0007":          {http.StatusConflict, "TransactionId does not exist"},
	codeForeignID:        {http.StatusConflict, "TransactionId does not belong to the business"},
	codeNotActive:        {http.StatusConflict, "Business is not active"},
	codeStatusNotActive:  {http.StatusConflict, "Business status is not Active"},
	"BTRA_0011":          {http.StatusConflict, "Card does not belong to the business"},
	"BTRA_0012":          {http.StatusConflict, "Source and target cards are the same"},
	codeZero:             {http.StatusBadRequest, "Amount is zero"},
	"BTRA_0014":          {http.StatusConflict, "TransactionId does not exist for this business"},
	"BTRA_0015":          {http.StatusConflict, "Communication error"},
	"BTRA_0016":          {http.StatusConflict, "Communication error"},
	codeBlank:            {http.StatusBadRequest, "'%s' must not be blank"},
	codeNull:             {http.StatusBadRequest, "'%s' must not be null"},
	codeOutOfBounds:      {http.StatusBadRequest, "Numeric value out of bounds (<4 digits>.<2 digits> expected)"},
	"BTRA_0021":          {http.StatusConflict, "TransactionType is not valid"},
	codeNoRecords:        {http.StatusConflict, "No record found for the report"},
	codeBadFrom:          {http.StatusBadRequest, "Error in From date"},
	codeBadTo:            {http.StatusBadRequest, "Error in To date"},
	codeFromAfterTo:      {http.StatusBadRequest, "From date must be before To date"},
	codeRangeTooLong:     {http.StatusBadRequest, "Date difference must be under %d days"},
	"BTRA_0027":          {http.StatusConflict, "Business is not a non-profit"},
	codeBelowCent:        {http.StatusBadRequest, "Amount is less than 0.01"},
	codeMissingParameter: {http.StatusBadRequest, "Required parameter '%s' is missing"},
	"BTRA_0030":          {http.StatusConflict, "Refund failed with a status error"},
	codeUnknownTicket:    {http.StatusConflict, "EcommerceId does not exist"},
	codeNotConfirmed:     {http.StatusConflict, "Ecommerce status is not confirm"},
	"BTRA_0033":          {http.StatusConflict, "Error creating the BusinessEcommerce record"},
	"BTRA_0034":          {http.StatusConflict, "Record already exists"},
	codeWrongStatus:      {http.StatusConflict, "Transaction is not in the expected status"},
	codeOtherCustomer:    {http.StatusConflict, "Transaction is already assigned to another customer"},
	codeCancelled:        {http.StatusConflict, "Cannot confirm a Canceled or Failed transaction"},
	codeLongMetadata:     {http.StatusBadRequest, "Metadata exceeds 40 characters"},
	codeTicketExpired:    {http.StatusConflict, "Valid time to execute the transaction has expired"},
	codeLongMessage:      {http.StatusBadRequest, "Message exceeds 50 characters"},
	codeHasPhone:         {http.StatusConflict, "Transaction already has a phone number assigned"},
	"BTRA_0042":          {http.StatusConflict, "Tip is over the limits"},
	codeNotOwner:         {http.StatusConflict, "Business is not the owner of the payment"},
	"BTRA_0044":          {http.StatusConflict, "Amount is over the limits of the financial institution"},
	"BTRA_0045":          {http.StatusConflict, "Amount is over the limits of the card"},
	codeNothingInRange:   {http.StatusConflict, "No transactions in the date range"},
	codeFutureFrom:       {http.StatusBadRequest, "From date is in the future"},
	codeFutureTo:         {http.StatusBadRequest, "To date is in the future"},
	"BTRA_0049":          {http.StatusConflict, "CustomerId does not exist"},
	"BTRA_0050":          {http.StatusConflict, "Tips are disabled for the business"},
	"BTRA_0051":          {http.StatusConflict, "Tip exceeds the amount"},
	"BTRA_0052":          {http.StatusConflict, "Both tipAmount and percentage were given"},
	codeUnknownReference: {http.StatusConflict, "ReferenceNumber not found"},
	codeCommunication:    {http.StatusConflict, "Communication error"},
	codeInternal:         {http.StatusInternalServerError, "Internal Error"},
	codeBusinessToken:    {http.StatusUnauthorized, "Business token is invalid or expired"},

	codeLegacyPublicToken:  {http.StatusUnauthorized, "publicToken invalid"},
	"3020":                 {http.StatusUnauthorized, "publicToken revoked"},
	codeLegacyNoPublic:     {http.StatusUnauthorized, "publicToken required"},
	codeLegacyPrivateToken: {http.StatusUnauthorized, "privateToken invalid"},
	"3050":                 {http.StatusUnauthorized, "privateToken revoked"},
	codeLegacyNoPrivate:    {http.StatusUnauthorized, "privateToken required"},
	codeLegacyOtherAccount: {http.StatusUnauthorized, "publicToken and privateToken are of different accounts"},
	codeLegacyUnknown:      {http.StatusConflict, "transaction does not exist"},
}

// codes lists every code of [errorCodes], sorted.
func codes() []string { return slices.Sorted(maps.Keys(errorCodes)) }

// refusal is an error response of the gateway.
type refusal struct {
	code    string
	message string
}

// Error implements the error interface.
func (r *refusal) Error() string { return r.code + ": " + r.message }

// refuse returns the refusal with a code of [errorCodes]. The args fill in its
// message.
func refuse(code string, args ...any) error {
	message := errorCodes[code].message
	if len(args) > 0 {
		message = fmt.Sprintf(message, args...)
	}
	return &refusal{code: code, message: message}
}

// refuseWithSample returns the refusal with a code that a fault asks for. If the
// message needs a value, it takes a sample.
func refuseWithSample(code string) error {
	switch message := errorCodes[code].message; {
	case code == codeTokenExpired:
		return refuse(code, "Fri Oct 28 15:21:00 AST 2022") // the sample of docs/athmovil.md §1.3
	case strings.Contains(message, "%s"):
		return refuse(code, "field")
	case strings.Contains(message, "%d"):
		return refuse(code, defaultReportDays)
	default:
		return refuse(code)
	}
}

// refuseMissingBody returns the refusal of an empty body, whose documented text is
// not that of its code (docs/athmovil.md §1.1).
func refuseMissingBody() error {
	return &refusal{code: codeInvalidFormat, message: "Required request body is missing"}
}
