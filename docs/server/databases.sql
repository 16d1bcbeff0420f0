-- Takes effect at the next start: two processes of MLflow with 80 connections each, and the others.
ALTER SYSTEM SET max_connections = 250;
CREATE DATABASE mlflow OWNER spinscope;
CREATE DATABASE logins OWNER spinscope;
CREATE DATABASE prefect OWNER spinscope;
CREATE DATABASE trials OWNER spinscope;
