CREATE DATABASE mlflow OWNER spinscope;
CREATE DATABASE logins OWNER spinscope;
CREATE DATABASE prefect OWNER spinscope;
CREATE DATABASE trials OWNER spinscope;
