package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// Column is a customer data column in the format of GET customerdatacolumn.
type Column struct {
	ID          int    `json:"Id"`
	Required    bool   `json:"Required"`
	Archived    bool   `json:"Archived"`
	Name        string `json:"Name"`
	DisplayName string `json:"DisplayName"`
}

// listColumns serves GET customerdatacolumn, whose three query parameters filter the list.
func (v *expoints) listColumns(call *vendorCall) response {
	if !v.isAuthorized(call) {
		return authorizationDenied()
	}
	keep, modelErrs := columnFilter(call.request.URL.Query())
	if len(modelErrs) > 0 {
		return modelStateResponse(modelErrs)
	}
	columns := []Column{}
	for _, column := range v.opts.Columns {
		if keep(column) {
			columns = append(columns, column)
		}
	}
	return jsonResponse(http.StatusOK, map[string]any{"CustomerDataColumns": columns})
}

func columnFilter(query map[string][]string) (keep func(Column) bool, modelErrs []modelError) {
	flags := map[string]bool{}
	var ids []int
	for key, values := range query {
		for _, value := range values {
			var err error
			switch key {
			case "Required", "Archived":
				flags[key], err = strconv.ParseBool(value)
			case "CustomerDataColumnIds":
				var id int
				id, err = strconv.Atoi(value)
				ids = append(ids, id)
			default:
				err = strconv.ErrSyntax
			}
			if err != nil {
				modelErrs = append(modelErrs, modelError{key, "The value is not valid for " + key + "."})
			}
		}
	}
	return func(column Column) bool {
		required, byRequired := flags["Required"]
		archived, byArchived := flags["Archived"]
		return (!byRequired || column.Required == required) && (!byArchived || column.Archived == archived) &&
			(len(ids) == 0 || slices.Contains(ids, column.ID))
	}, modelErrs
}

// findColumn returns the column, unless archived, that a data element belongs to.
func (v *expoints) findColumn(data *jsonObject) (Column, bool) {
	id, _ := data.fields["CustomerDataColumnId"].(json.Number)
	for _, column := range v.opts.Columns {
		if strconv.Itoa(column.ID) == id.String() && !column.Archived {
			return column, true
		}
	}
	return Column{}, false
}

// columnValue returns the value that the object has for a column, or "" if there is none.
func (v *expoints) columnValue(object *jsonObject, name string) string {
	for _, element := range object.listAt("Data") {
		data, ok := element.(*jsonObject)
		if !ok {
			continue
		}
		if column, ok := v.findColumn(data); ok && column.Name == name {
			return data.textAt("Value")
		}
	}
	return ""
}

func (v *expoints) eventID(object *jsonObject) string {
	if v.opts.EventIDColumn == "" {
		return ""
	}
	return v.columnValue(object, v.opts.EventIDColumn)
}
