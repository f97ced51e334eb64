package catalog

import "github.com/cobropay/cobro/payment"

// rules has the text of every rule. The verbs of both languages are those of
// the rule's arguments, in their order.
var rules = map[payment.RuleCode]text{
	// Values.
	"at_least":           {"must be at least %v", "debe ser al menos %v"},
	"between":            {"must be between %v and %v", "debe estar entre %v y %v"},
	"seconds_between":    {"must be between %v and %v seconds", "debe estar entre %v y %v segundos"},
	"subtotal_plus_tax":  {"must equal subtotal plus tax", "debe ser igual a subtotal más tax"},
	"text_at_most":       {"must have at most %v printable characters", "debe tener como máximo %v caracteres imprimibles"},
	"text_between":       {"must have %v to %v printable characters", "debe tener de %v a %v caracteres imprimibles"},
	"characters_between": {"must have %v to %v characters", "debe tener de %v a %v caracteres"},
	"phone_number":       {"must be a phone number of ten digits", "debe ser un número de teléfono de diez dígitos"},
	"not_personal": {
		"is stored unencrypted and must not be an email address or a phone number",
		"se guarda sin cifrar y no debe ser un correo electrónico ni un número de teléfono",
	},
	"visible": {
		"must not have characters that are invisible or change the order of others",
		"no debe tener caracteres invisibles ni que cambien el orden de otros",
	},
	"items_at_most":   {"must have at most %v items", "debe tener como máximo %v artículos"},
	"one_of":          {"must be one of %v", "debe ser uno de %v"},
	"not_negative":    {"a duration is negative; leave it zero for the default", "una duración es negativa; déjala en cero para usar el valor predeterminado"},
	"pauses_in_order": {"the longest pause is shorter than the first one", "la pausa más larga es más corta que la primera"},

	// Names of programs and receivers.
	"name":              {"must be 1 to %v characters of a-z, 0-9 and hyphens, such as %q", "debe tener de 1 a %v caracteres entre a-z, 0-9 y guiones, como %q"},
	"not_built_in_host": {"must not be %q, which is Cobro's own", "no debe ser %q, que es de Cobro"},

	// JSON.
	"required": {"is required", "es obligatorio"},
	"string":   {"must be a string", "debe ser un texto"},
	"amount": {
		`must be a string with an amount like "25.00", of at most two decimals`,
		`debe ser un texto con una cantidad como "25.00", de dos decimales como máximo`,
	},
	"refund_amount": {
		`must be "all", or a string with an amount like "25.00", of at most two decimals`,
		`debe ser "all", o un texto con una cantidad como "25.00", de dos decimales como máximo`,
	},
	"whole_number":       {"must be a whole number", "debe ser un número entero"},
	"list_of_objects":    {"must be a list of objects", "debe ser una lista de objetos"},
	"known_field":        {"is not a known field", "no es un campo conocido"},
	"json_object":        {"must be one JSON object", "debe ser un solo objeto JSON"},
	"whole_characters":   {"must not have half of a character, such as a cut emoji", "no debe tener la mitad de un carácter, como un emoji cortado"},
	"once":               {"must appear once", "debe aparecer una sola vez"},
	"nested_less_deeply": {"must be nested less deeply", "debe tener menos niveles"},
	"bytes_at_most":      {"must have at most %v bytes", "debe tener como máximo %v bytes"},

	// Query strings.
	"query_string":     {"must be a well-formed query string", "debe estar bien formada"},
	"known_parameter":  {"is not a known parameter", "no es un parámetro conocido"},
	"time":             {"must be a time such as 2026-01-31T15:04:05Z", "debe ser una hora como 2026-01-31T15:04:05Z"},
	"duration_at_most": {"must be a duration such as 30s, of at most %v", "debe ser una duración como 30s, de %v como máximo"},
	"cursor":           {"must be a next_cursor of an earlier response", "debe ser el next_cursor de una respuesta anterior"},
	"boolean":          {"must be true or false", "debe ser true o false"},

	// Announcements of receivers.
	"duration_above_zero": {`must be a duration above zero, such as "30s"`, `debe ser una duración mayor que cero, como "30s"`},
	"receiver_once":       {"must be announced once for each event", "debe anunciarse una sola vez por evento"},
	"one_receiver": {
		"must name at least one receiver; leaving one out does not remove it",
		"debe nombrar al menos un receptor; omitir uno no lo elimina",
	},
}
