"""`adloom doctor`: what this environment has, lacks and can reach, each as a named finding with its next step."""
