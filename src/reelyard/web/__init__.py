"""The pages: what people see and click, over the services that the API has too."""
